"""What the index says about one prompt: a card of its page, or of its failure."""

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
from reportgen.records import Failure, Prediction

_EXCERPT = 300
_THUMBNAIL_SIDE = 32
_SHADES = 16
"""Few, so that a picture is well under a kilobyte: an index has one for each of thousands of pages."""


@dataclass(frozen=True)
class Card:
    """One page; the page carries its card, so that an index can be made from the pages alone.

    Attributes:
        slug: name of the page's file, without ``.html``.
        title: its heading.
        text: the beginning of the prompt.
        model: name of the model.
        tags: free words.
        num_prompt_tokens: how many tokens the prompt has.
        num_steps: how many were generated.
        thumbnail: a PNG as a ``data:`` address, of at most 2 KB.
        prompt_logprob: mean log-probability of the prompt's tokens after the first; ``None`` where there are none.
        generated_logprob: the same of the generated tokens, by the model's own probabilities.
        compares: titles of both sides where the page puts two prompts side by side; empty otherwise.
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

    @property
    def href(self) -> str:
        """Address of the page, relative to the index."""
        return f"{self.slug}.html"

    @property
    def facts(self) -> str:
        """What the index says beside the title, in a line."""
        if self.compares:
            return f"{self.model} · side by side: {' | '.join(self.compares)}"
        means = (("prompt", self.prompt_logprob), ("generated", self.generated_logprob))
        known = [f"{name} {mean:.2f}".replace("-", "−") for name, mean in means if mean is not None]
        counts = f"{self.num_prompt_tokens} prompt + {self.num_steps} generated tokens"
        return " · ".join((self.model, counts, *[f"mean log-probability: {', '.join(known)}"] * bool(known)))


@dataclass(frozen=True)
class FailureCard:
    """One prompt that gave no page.

    Attributes:
        earlier_page: address of the page that an earlier run made of it, relative to the index; empty where there is
            none.
    """

    slug: str
    title: str
    model: str
    error: str
    earlier_page: str = ""

    @property
    def facts(self) -> str:
        """What the index says beside the title, in a line."""
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
        num_steps=len(capture.steps),
        thumbnail=draw_thumbnail(capture),
        prompt_logprob=_mean_logprob(capture.prompt_predictions),
        generated_logprob=_mean_logprob(step.raw for step in capture.steps),
    )


def parse_card(values: Mapping[str, Any]) -> Card:
    """Return the card that a page carries.

    Raises:
        TypeError: the values are not those of a card.
    """
    return Card(**{**values, **{name: tuple(values.get(name, ())) for name in ("tags", "compares")}})


def make_failure_card(failure: Failure, *, has_earlier_page: bool = False) -> FailureCard:
    """Return the card of a prompt that failed, with or without a page of an earlier run."""
    prompt = failure.prompt
    page = f"{prompt.slug}.html" if has_earlier_page else ""
    return FailureCard(prompt.slug, prompt.title, prompt.runs_on, failure.error, page)


def excerpt(capture: Capture) -> str:
    """Return the beginning of the prompt: of a chat what the user said last, else the text as the model read it."""
    said = [message.get("content", "") for message in capture.prompt.messages if message.get("role") == "user"]
    if said and said[-1]:
        return said[-1][:_EXCERPT]
    return "".join(token.text for token in capture.tokens[: capture.num_prompt_tokens])[:_EXCERPT]


def draw_thumbnail(capture: Capture) -> str:
    """Return a picture of the attention averaged over layers and heads, the first token left out where another is.

    Returns:
        A PNG as a ``data:`` address.
    """
    return encode_picture(shade_means(capture))


def shade_means(capture: Capture) -> NDArray[np.float32]:
    """Return the picture of a thumbnail, ``[row, column]``, 0 to 1; the strongest weight is 1."""
    mean = np.zeros((capture.num_tokens, capture.num_tokens), np.float32)
    for triangles in capture.attention:  # layer by layer: in float32 all of them would take twice the memory
        weights = dequantize_sqrt(triangles).mean(axis=0, dtype=np.float32)
        mean[np.tri(len(mean), dtype=bool)] += weights / len(capture.attention)
    if capture.num_tokens > 1:
        mean[:, 0] = 0
    return np.sqrt(shrink(mean, _THUMBNAIL_SIDE) / max(float(mean.max()), 1e-9))


def encode_picture(shade: NDArray[np.float32]) -> str:
    """Return shades from 0 to 1 as a PNG in a ``data:`` address."""
    picture = Image.fromarray(np.rint((_SHADES - 1) * shade).astype(np.uint8)).convert("P")
    colors = PALETTES["blues"][:: 255 // (_SHADES - 1)]
    picture.putpalette([int(color[i : i + 2], 16) for color in colors for i in (1, 3, 5)])
    file = io.BytesIO()
    picture.save(file, "png", optimize=True, bits=4)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def _mean_logprob(predictions: Iterable[Prediction]) -> float | None:
    """Mean over tokens, as JSON has it; ``None`` where there are none, or one was impossible."""
    logprobs = [prediction.logprob for prediction in predictions]
    return shorten(float(np.mean(logprobs))) if logprobs else None
