"""What the index says about one prompt: a card of its page, or of its failure."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from reportgen.captures.codes import decode_weights
from reportgen.captures.record import Capture
from reportgen.pages.palettes import PALETTES
from reportgen.pages.payload import shrink
from reportgen.records import Failure

_EXCERPT = 300
_THUMBNAIL_SIDE = 48


@dataclass(frozen=True)
class Card:
    """One page; the page carries its card, so that an index can be made from the pages alone."""

    slug: str
    title: str
    text: str
    model: str
    tags: tuple[str, ...]
    num_prompt_tokens: int
    num_steps: int
    thumbnail: str

    @property
    def href(self) -> str:
        """Address of the page, relative to the index."""
        return f"{self.slug}.html"

    @property
    def words(self) -> str:
        """What the filter box searches."""
        return " ".join((self.title, self.text, self.model, *self.tags)).lower()


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
    def words(self) -> str:
        """What the filter box searches."""
        return " ".join((self.title, self.model, self.error)).lower()


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
    )


def parse_card(values: Mapping[str, Any]) -> Card:
    """Return the card that a page carries.

    Raises:
        TypeError: the values are not those of a card.
    """
    return Card(**{**values, "tags": tuple(values.get("tags", ()))})


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
    mean = np.zeros((capture.num_tokens, capture.num_tokens), np.float32)
    for triangles in capture.triangles:  # layer by layer: in float32 all of them would take twice the memory
        weights = decode_weights(triangles).mean(axis=0, dtype=np.float32)
        mean[np.tri(len(mean), dtype=bool)] += weights / len(capture.triangles)
    if capture.num_tokens > 1:
        mean[:, 0] = 0
    shade = np.sqrt(shrink(mean, _THUMBNAIL_SIDE) / max(float(mean.max()), 1e-9))
    picture = Image.fromarray(np.rint(255 * shade).astype(np.uint8)).convert("P")
    picture.putpalette([int(color[i : i + 2], 16) for color in PALETTES["blues"] for i in (1, 3, 5)])
    file = io.BytesIO()
    picture.save(file, "png", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")
