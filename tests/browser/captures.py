"""What the pages of the browser tests show."""

from __future__ import annotations

from samples import HOSTILE, make_capture

from reportgen.pages.cards import FailureCard

CAPTURES = {
    "cat": make_capture(tags=("notebook",), note="Note of the author"),
    "one": make_capture(("Hello",), (), slug="one", title="One token", layers=(0,), heads=(0, 1)),
    "plain": make_capture(generated=(), slug="plain", title="Nothing generated"),
    "hostile": make_capture(HOSTILE, slug="hostile", title=HOSTILE[0], note=HOSTILE[5], tags=(HOSTILE[6],)),
    "long": make_capture(
        tuple(f" t{i}" for i in range(396)), slug="long", title="Long", layers=(0, 1, 2, 3), heads=(0, 1)
    ),
    "selected": make_capture(slug="selected", title="Some layers", layers=(2, 5, 7), heads=(1, 3)),
}
"""By the slugs of their pages."""

FAILURE = FailureCard("lost", "A prompt that failed", "gpt2", "prompts.yaml:5: the prompt is too long; shorten it")
