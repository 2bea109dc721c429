"""Captures in which every text that a page shows is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import cycle, islice

from samples import make_capture

from reportgen.captures.record import Capture
from reportgen.captures.tokens import show_text
from reportgen.pages.cards import FailureCard
from reportgen.records import Prediction, Token
from reportgen.records.evidence import Evidence

NUM_TOKENS = 12
"""Of each capture; the last two are generated."""
NUM_TEXTS = NUM_TOKENS + 14
"""How many texts a page and its index hold: those of tokens, and those of everything else."""


def make_page_of(texts: Sequence[str], *, slug: str = "hostile") -> tuple[Capture, FailureCard]:
    """Return a capture and a failure that say these texts and no others, over and over where there are too few."""
    (*of_tokens, title, note, tag, other_tag, name, revision, architecture, adapter, package, version, reason, failed,
     failed_on, error) = islice(cycle(texts), NUM_TEXTS)  # fmt: skip
    title, note, tag, other_tag = (text if text.strip() else f"∅{text}" for text in (title, note, tag, other_tag))
    tokens = tuple(Token(number, text, show_text(text) or "∅") for number, text in enumerate(of_tokens))
    # Scores are measured on other texts: two that are equal would be scored otherwise, and make another page.
    capture = make_capture(
        tuple("abcdefghij"), tuple("kl"), layers=(0,), heads=(0,), slug=slug, title=title, note=note,
        tags=(tag, other_tag), messages=({"role": "user", "content": ""},),
    )  # fmt: skip
    model = replace(capture.model, name=name, revision=revision, architecture=architecture, adapter=adapter)
    predictions = tuple(_predict(one, tokens) for one in capture.prompt_predictions)
    steps = tuple(
        replace(step, raw=_predict(step.raw, tokens), filtered=_predict(step.filtered, tokens))
        for step in capture.steps
    )
    made = replace(
        capture, model=model, tokens=tokens, versions={package: version}, prompt_predictions=predictions, steps=steps,
        evidence=_spread(capture.evidence, tokens, reason),
    )  # fmt: skip
    return made, FailureCard("failed", failed, failed_on, error)


def _predict(prediction: Prediction, tokens: Sequence[Token]) -> Prediction:
    return replace(prediction, alternatives=tuple((token, -1.0) for token in tokens[:3]))


def _spread(evidence: Evidence, tokens: Sequence[Token], reason: str) -> Evidence:
    assert evidence.attribution
    assert evidence.lens
    runners_up = tuple((token,) * 2 for token in tokens[:2])
    best = ((tokens[0], tokens[1]),) * len(evidence.lens.layers)
    return evidence.replace(
        attribution=replace(evidence.attribution, runners_up=runners_up, note=reason),
        lens=replace(evidence.lens, best=best),
        rollout=None,
        missing={"rollout": reason},
    )
