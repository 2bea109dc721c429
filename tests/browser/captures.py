"""What the pages of the browser tests show."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from samples import HOSTILE, make_capture

from reportgen.captures.record import Capture
from reportgen.pages.cards import FailureCard
from reportgen.records import LEFT_OUT
from reportgen.records.evidence import Evidence


def make_withheld() -> Capture:
    """Return a capture whose attribution was withheld at step 1, since its parts do not add up."""
    capture = make_capture(slug="withheld", title="A sum that fails")
    attribution = capture.evidence.attribution
    assert attribution
    assert attribution.sources is not None
    changed = {name: getattr(attribution, name).copy() for name in ("heads", "other_parts", "logits", "sources")}
    for name in ("heads", "other_parts", "logits"):
        changed[name][:, 1] = np.nan
    changed["sources"][:, :, 5:11] = np.nan
    reasons = ("", "its parts add up only to within 2.1e-02 of the largest", "")
    withheld = replace(attribution, withheld=(reasons,) * len(attribution.heads), **changed)
    return replace(capture, evidence=capture.evidence.replace(attribution=withheld))


def make_bare() -> Capture:
    """Return a capture without evidence and without predictions of the prompt's tokens, and the reasons for that."""
    reason = "not available for TinyForCausalLM: its heads were not found"
    missing = dict.fromkeys(("value_norms", "attribution", "lens", "rollout"), reason)
    whole = make_capture(slug="bare", title="No evidence")
    return replace(
        whole,
        prompt=replace(whole.prompt, without=("predictions",)),
        prompt_predictions=(),
        evidence=Evidence(missing={**missing, "predictions": LEFT_OUT}),
    )


CAPTURES = {
    "cat": make_capture(tags=("notebook",), note="Note of the author"),
    "one": make_capture(("Hello",), (), slug="one", title="One token", layers=(0,), heads=(0, 1)),
    "plain": make_capture(generated=(), slug="plain", title="Nothing generated"),
    "hostile": make_capture(HOSTILE, slug="hostile", title=HOSTILE[0], note=HOSTILE[5], tags=(HOSTILE[6],)),
    "long": make_capture(
        tuple(f" t{i}" for i in range(396)), slug="long", title="Long", layers=(0, 1, 2, 3), heads=(0, 1)
    ),
    "selected": make_capture(slug="selected", title="Some layers", layers=(2, 5, 7), heads=(1, 3)),
    "pieces": make_capture(("Jon", "athan", " ate"), ("x",), slug="pieces", title="Words of several tokens"),
    "forecast": make_capture(generated=(" sat",), slug="forecast", title="What would come next", max_new_tokens=0),
    "many": make_capture(
        generated=tuple(f" g{step}" for step in range(8)),
        slug="many",
        title="Many heads and tokens",
        layers=tuple(range(20)),
        heads=tuple(range(18)),
    ),
    "withheld": make_withheld(),
    "bare": make_bare(),
}
"""By the slugs of their pages."""

FAILURE = FailureCard("lost", "A prompt that failed", "gpt2", "prompts.yaml:5: the prompt is too long; shorten it")
