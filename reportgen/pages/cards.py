"""Cards of the index: one for each page, and one for each prompt that failed."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from reportgen.captures.record import Capture
from reportgen.evidence.opening import Opening, find_opening
from reportgen.pages.answer import find_most_read, make_answer
from reportgen.pages.claims import ClaimOutcome, count_claims, list_outcomes
from reportgen.pages.encoding import shorten
from reportgen.pages.panels import measure_map
from reportgen.pages.sentences import to_json
from reportgen.pages.stills import draw_thumbnail
from reportgen.pages.views import open_view
from reportgen.records import Failure, Prediction, Token, name_with_adapter, public_name
from reportgen.records.messages import text_of
from reportgen.records.sentences import (
    HeadPart,
    Sentence,
    StrongPart,
    TokenPart,
    format_effect,
    format_percent,
    format_weight,
    make_sentence,
)

_EXCERPT = 300
_BEGINNING, _END = 120, 60
"""Numbers of characters of a long prompt that a card shows: the end, because the completion follows it."""
_COMPLETION = 90
_PLACE = re.compile(r"(\S+:\d+): (.+)", re.DOTALL)


@dataclass(frozen=True)
class Card:
    """Card of a page. Each page contains its card, so that an index can be made from the pages alone.

    Attributes:
        slug: name of the page's file, without ``.html``.
        title: heading of the page.
        text: the prompt; of a long one the beginning and the end.
        completion: beginning of what the model wrote, without special tokens; empty for a comparison.
        model: name of the model.
        tags: tags of the prompt.
        num_prompt_tokens: number of tokens of the prompt.
        num_steps: number of generated tokens; the token of a forecast was not generated.
        thumbnail: map of all heads, the last layer at the top: a PNG of at most 2 KB, as a ``data:`` URL; empty for a
            comparison of prompts that cannot be aligned.
        said: sentence about the head with the largest effect, as returned by ``sentences.to_json``.
        prob: probability of the written token that the sentence is about; ``None`` if nothing was generated.
        head: name of the head that the sentence is about; empty if there is none.
        through: token that the head reads.
        weight: weight of the head on that token, 0 to 1.
        effect: effect of the head through that token in logits; ``None`` if it is unknown.
        prompt_logprob: mean log-probability of the prompt's tokens after the first; ``None`` if there are none.
        generated_logprob: mean log-probability of the generated tokens, before sampling filters; ``None`` if there are
            none.
        compares: titles of both sides if the page is a comparison; empty otherwise.
        sides: slugs of both sides if the page is a comparison; empty otherwise.
        claims: what became of the claims of the prompt.
    """

    slug: str
    title: str
    text: str
    model: str
    tags: tuple[str, ...]
    num_prompt_tokens: int
    num_steps: int
    thumbnail: str
    completion: str = ""
    said: Sequence[Any] = ()
    prob: float | None = None
    head: str = ""
    through: str = ""
    weight: float | None = None
    effect: float | None = None
    prompt_logprob: float | None = None
    generated_logprob: float | None = None
    compares: tuple[str, ...] = ()
    sides: tuple[str, ...] = ()
    claims: tuple[ClaimOutcome, ...] = ()

    @property
    def href(self) -> str:
        """URL of the page, relative to the index."""
        return f"{self.slug}.html"

    @property
    def own_title(self) -> str:
        """The title, if it says something that the text does not; otherwise empty."""
        text, title = (" ".join(line.split()) for line in (self.text, self.title))
        is_beginning = title.endswith("…") and text.startswith(title[:-1])
        return "" if text and (is_beginning or text == title) else self.title

    @property
    def claims_said(self) -> str:
        """How many of the claims hold; empty without claims."""
        return f"claims: {count_claims(self.claims)}" if self.claims else ""

    @property
    def counts(self) -> str:
        """Numbers of tokens of the prompt and of the completion; empty for a comparison."""
        return "" if self.compares else f"{self.num_prompt_tokens} + {self.num_steps}"


@dataclass(frozen=True)
class FailureCard:
    """Card of a prompt that failed.

    Attributes:
        slug: slug of the prompt.
        title: title of the prompt.
        model: name of the model.
        error: error message.
        earlier_page: URL of the page that an earlier run made of the prompt, relative to the index; empty if there is
            none.
    """

    slug: str
    title: str
    model: str
    error: str
    earlier_page: str = ""

    @property
    def place(self) -> str:
        """File and line of the prompt, with which an error message begins; empty if this one does not."""
        match = _PLACE.fullmatch(self.error)
        return match[1] if match else ""

    @property
    def reason(self) -> str:
        """The error message without its place."""
        return self.error.removeprefix(f"{self.place}: ")


def make_card(capture: Capture) -> Card:
    """Return the card of a page."""
    prompt, opening = capture.prompt, find_opening(capture)
    return Card(
        slug=prompt.slug,
        title=prompt.title,
        text=shorten_text(_read_text(capture)),
        completion=_read_completion(capture),
        model=capture.model.title,
        tags=prompt.tags,
        num_prompt_tokens=capture.num_prompt_tokens,
        num_steps=capture.num_generated_tokens,
        thumbnail=_draw_map(capture, opening),
        claims=list_outcomes(capture),
        prompt_logprob=mean_logprob(capture.prompt_predictions),
        generated_logprob=mean_logprob(step.raw for step in capture.steps[: capture.num_generated_tokens]),
        **_describe_read(capture, opening),
    )


def parse_card(values: Mapping[str, Any]) -> Card:
    """Return the card from the JSON in a page.

    Raises:
        TypeError: the values do not match the fields of a card.
    """
    values = {**values}
    tuples = {name: tuple(values.get(name, ())) for name in ("tags", "compares", "sides")}
    claims = tuple(ClaimOutcome(**claim) for claim in values.get("claims", ()))
    return Card(**{**values, **tuples, "claims": claims})


def make_failure_card(failure: Failure, *, has_earlier_page: bool = False) -> FailureCard:
    """Return the card of a prompt that failed; ``has_earlier_page`` is whether an earlier run made its page."""
    prompt = failure.prompt
    page = f"{prompt.slug}.html" if has_earlier_page else ""
    model, adapter, error = public_name(prompt.model), public_name(prompt.adapter), failure.error
    for name, shown in sorted(((prompt.model, model), (prompt.adapter, adapter)), key=lambda pair: -len(pair[0])):
        error = error.replace(name, shown) if name else error
    return FailureCard(prompt.slug, prompt.title, name_with_adapter(model, adapter), error, page)


def excerpt(capture: Capture) -> str:
    """Return the beginning of the prompt: of the last user message of a chat, otherwise of the decoded text."""
    return _read_text(capture)[:_EXCERPT]


def _read_text(capture: Capture) -> str:
    contents = [text_of(message) for message in capture.prompt.messages if message["role"] == "user"]
    return contents[-1] if contents and contents[-1] else _join(capture.tokens[: capture.num_prompt_tokens])


def _join(tokens: Iterable[Token]) -> str:
    return "".join(token.text for token in tokens)


def shorten_text(text: str) -> str:
    """Return a text with its middle left out, from a space to a space if there are any."""
    if len(text) <= _BEGINNING + _END:
        return text
    return f"{text[:_BEGINNING].rsplit(' ', 1)[0]} … {text[-_END:].split(' ', 1)[-1]}"


def _read_completion(capture: Capture) -> str:
    text = capture.generated_text
    return text if len(text) <= _COMPLETION else f"{text[:_COMPLETION]}…"


def _describe_read(capture: Capture, opening: Opening) -> dict[str, Any]:
    """Return what a card says of the head with the largest effect, or of the head that singles out a token."""
    best = make_answer(capture, opening.step).best
    written, prob = _describe_written(capture, opening)
    attribution = capture.evidence.attribution
    if best is None and attribution is not None and attribution.sources is not None and written:
        said = make_sentence("No single earlier token adds 0.1 logits for ", *written)
        return {"said": to_json(said, capture.tokens), "prob": prob}
    if best is None:
        layer, head = opening.layer, opening.head
        (key_pos, weight), effect = find_most_read(capture, layer, head, opening.query_pos), None
    else:
        layer, head, key_pos, weight, effect = best.layer, best.head, best.key_pos, best.weight, best.effect
    read = TokenPart(capture.tokens[key_pos].shown, key_pos)
    reads: Sentence = (HeadPart(layer, head), " reads ", read, f" ({format_weight(weight)})")
    query = TokenPart(capture.tokens[opening.query_pos].shown, opening.query_pos)
    why = (" at ", query) if effect is None else (" for ", *written, ", ", StrongPart(format_effect(effect)))
    return {
        "said": to_json(make_sentence(*reads, *why), capture.tokens),
        "prob": prob,
        "head": f"L{layer} H{head}",
        "through": read.shown,
        "weight": shorten(weight),
        "effect": None if effect is None else shorten(effect),
    }


def _describe_written(capture: Capture, opening: Opening) -> tuple[Sentence, float | None]:
    """Return the token that the opening step wrote, with its probability, and the probability alone."""
    if opening.step is None:
        return (), None
    prob = math.exp(capture.steps[opening.step].raw.logprob)
    position = opening.query_pos + 1
    when = "next, " if capture.is_forecast else ""
    return (
        TokenPart(capture.tokens[position].shown, position),
        f" {when}{format_percent(prob)}".replace(" %", "\u00a0%"),
    ), shorten(prob)


def _draw_map(capture: Capture, opening: Opening) -> str:
    values, signed = measure_map(capture, open_view(capture, opening))
    if not signed:
        return draw_thumbnail(np.sqrt(values[::-1]), signed=False)
    return draw_thumbnail(values[::-1] / max(float(np.nanmax(np.abs(values), initial=0)), 1e-9), signed=True)


def mean_logprob(predictions: Iterable[Prediction]) -> float | None:
    """Return the mean log-probability, shortened for JSON; ``None`` if there are no tokens or one has probability 0."""
    logprobs = [prediction.logprob for prediction in predictions]
    return shorten(float(np.mean(logprobs))) if logprobs else None
