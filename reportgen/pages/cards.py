"""Cards of the index: one for each page, and one for each prompt that failed."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from reportgen.captures.quantization import dequantize_sqrt
from reportgen.captures.record import Capture
from reportgen.pages.encoding import shorten, shrink
from reportgen.pages.palettes import PALETTES
from reportgen.records import Failure, Prediction, name_with_adapter, public_name

_EXCERPT = 300
_THUMBNAIL_SIDE = 32
_SHADES = 16
"""Number of colours of a thumbnail. It is small so that a thumbnail takes less than a kilobyte: an index may have
thousands."""


@dataclass(frozen=True)
class Card:
    """Card of a page. Each page contains its card, so that an index can be made from the pages alone.

    Attributes:
        slug: name of the page's file, without ``.html``.
        title: heading of the page.
        text: beginning of the prompt.
        model: name of the model.
        tags: tags of the prompt.
        num_prompt_tokens: number of tokens of the prompt.
        num_steps: number of generated tokens; the token of a forecast was not generated.
        thumbnail: PNG of at most 2 KB, as a ``data:`` URL.
        prompt_logprob: mean log-probability of the prompt's tokens after the first; ``None`` if there are none.
        generated_logprob: mean log-probability of the generated tokens, before sampling filters; ``None`` if there are
            none.
        compares: titles of both sides if the page is a comparison; empty otherwise.
        next_token: text for display of the token that the model would write next, if nothing was generated; otherwise
            empty.
    """

    slug: str
    title: str
    text: str
    model: str
    tags: tuple[str, ...]
    num_prompt_tokens: int
    num_steps: int
    thumbnail: str
    prompt_logprob: float | None = None
    generated_logprob: float | None = None
    compares: tuple[str, ...] = ()
    next_token: str = ""

    @property
    def href(self) -> str:
        """URL of the page, relative to the index."""
        return f"{self.slug}.html"

    @property
    def facts(self) -> str:
        """The line of facts that the index shows next to the title."""
        if self.compares:
            return f"{self.model} · side by side: {' | '.join(self.compares)}"
        means = (("prompt", self.prompt_logprob), ("generated", self.generated_logprob))
        values = [f"{name} {mean:.2f}".replace("-", "−") for name, mean in means if mean is not None]
        counts = f"{self.num_prompt_tokens} prompt + {self.num_steps} generated tokens"
        if self.next_token:
            counts += f", would write {self.next_token} next"
        return " · ".join((self.model, counts, *[f"mean log-probability: {', '.join(values)}"] * bool(values)))


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
    def facts(self) -> str:
        """The line of facts that the index shows next to the title."""
        return f"{self.model} · {'failed' if self.earlier_page else 'no page'}"


def make_card(capture: Capture) -> Card:
    """Return the card of a page."""
    prompt = capture.prompt
    return Card(
        slug=prompt.slug,
        title=prompt.title,
        text=excerpt(capture),
        model=capture.model.title,
        tags=prompt.tags,
        num_prompt_tokens=capture.num_prompt_tokens,
        num_steps=capture.num_generated_tokens,
        thumbnail=draw_thumbnail(capture),
        prompt_logprob=mean_logprob(capture.prompt_predictions),
        generated_logprob=mean_logprob(step.raw for step in capture.steps[: capture.num_generated_tokens]),
        next_token=capture.tokens[-1].shown if capture.is_forecast else "",
    )


def parse_card(values: Mapping[str, Any]) -> Card:
    """Return the card from the JSON in a page.

    Raises:
        TypeError: the values do not match the fields of a card.
    """
    return Card(**{**values, **{name: tuple(values.get(name, ())) for name in ("tags", "compares")}})


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
    contents = [message.get("content", "") for message in capture.prompt.messages if message.get("role") == "user"]
    if contents and contents[-1]:
        return contents[-1][:_EXCERPT]
    return "".join(token.text for token in capture.tokens[: capture.num_prompt_tokens])[:_EXCERPT]


def draw_thumbnail(capture: Capture) -> str:
    """Return a picture of the attention averaged over layers and heads.

    The first token is left out as a key if there is more than one token.

    Returns:
        A PNG as a ``data:`` URL.
    """
    return encode_picture(shade_means(capture))


def shade_means(capture: Capture) -> NDArray[np.float32]:
    """Return the shades of a thumbnail, ``[row, column]``, 0 to 1: square roots of mean weights, largest = 1."""
    mean = np.zeros((capture.num_tokens, capture.num_tokens), np.float32)
    for triangles in capture.attention:  # one layer at a time, because float32 takes more memory than codes
        weights = dequantize_sqrt(triangles).mean(axis=0, dtype=np.float32)
        mean[np.tri(len(mean), dtype=bool)] += weights / len(capture.attention)
    if capture.num_tokens > 1:
        mean[:, 0] = 0
    return np.sqrt(shrink(mean, _THUMBNAIL_SIDE) / max(float(mean.max()), 1e-9))


def encode_picture(shade: NDArray[np.float32]) -> str:
    """Return shades from 0 to 1 as a PNG in a ``data:`` URL."""
    picture = Image.fromarray(np.rint((_SHADES - 1) * shade).astype(np.uint8)).convert("P")
    colors = PALETTES["blues"][:: 255 // (_SHADES - 1)]
    picture.putpalette([int(color[i : i + 2], 16) for color in colors for i in (1, 3, 5)])
    file = io.BytesIO()
    picture.save(file, "png", optimize=True, bits=4)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def mean_logprob(predictions: Iterable[Prediction]) -> float | None:
    """Return the mean log-probability, shortened for JSON; ``None`` if there are no tokens or one has probability 0."""
    logprobs = [prediction.logprob for prediction in predictions]
    return shorten(float(np.mean(logprobs))) if logprobs else None
