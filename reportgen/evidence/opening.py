"""Choose the step, the head and the token read that a page shows first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reportgen.captures.content import find_content
from reportgen.captures.record import Capture
from reportgen.evidence.default_head import find_default_head
from reportgen.evidence.reads import find_foil_reads, find_reads


@dataclass(frozen=True)
class Opening:
    """What a page shows first.

    Attributes:
        layer: number of the layer in the model.
        head: number of the head in the model.
        step: generation step; ``None`` if nothing was generated.
        query_pos: position that predicted the token of the step; the last one if nothing was generated.
        key_pos: position of the token read; ``None`` if none stands out.
    """

    layer: int
    head: int
    step: int | None
    query_pos: int
    key_pos: int | None


def find_opening(capture: Capture) -> Opening:
    """Return the largest effect of a head through one token of the prompt, over all written tokens.

    The first token, the position that predicts, special tokens and a chat template's own tokens do not count as read: a
    head with the largest effect as a whole mostly rests on these. Neither do generated tokens, because the end of a
    sentence is mostly predicted from its beginning. A special token, such as the end of the text, does not count as
    written.

    With foils, the step is that of the first one, and effects are those against it.

    Returns:
        The step, head and token of the largest effect. If none is above 0, the first written token and the head with
        the largest effect as a whole; without effects through single tokens, the first written token and the head of
        ``find_default_head``.
    """
    written = _list_written(capture)
    keys = find_content(capture)
    keys[capture.num_prompt_tokens :] = False
    if capture.measured_foils:
        return _open_on_foil(capture, keys)
    reads = find_reads(capture, keys, count=1)
    best = max((step for step in written if reads[step]), key=lambda step: reads[step][0].effect, default=None)
    if best is not None:
        (read,) = reads[best]
        return Opening(read.layer, read.head, best, capture.query_pos_of_step(best), read.key_pos)
    if not written:
        return Opening(*find_default_head(capture), None, capture.num_prompt_tokens - 1, None)
    return Opening(*_find_head(capture, written[0]), written[0], capture.query_pos_of_step(written[0]), None)


def _open_on_foil(capture: Capture, keys: NDArray[np.bool_]) -> Opening:
    step = capture.measured_foils[0].step
    query_pos = capture.query_pos_of_step(step)
    for read in find_foil_reads(capture, keys, count=1)[0]:
        return Opening(read.layer, read.head, step, query_pos, read.key_pos)
    return Opening(*_find_head(capture, step), step, query_pos, None)


def _list_written(capture: Capture) -> list[int]:
    """Return the steps that wrote a token of the text; all steps if all tokens are special."""
    steps = [step.step for step in capture.steps]
    return [step for step in steps if not capture.tokens[capture.num_prompt_tokens + step].special] or steps


def _find_head(capture: Capture, step: int) -> tuple[int, int]:
    """Return the head with the largest effect as a whole on the token of a step, or the default head."""
    attribution = capture.evidence.attribution
    if attribution is None or attribution.sources is None:
        return find_default_head(capture)
    effects = attribution.heads[attribution.foil_contrast(capture.foil_of_step(step)), step]
    if np.isnan(effects).all():
        return find_default_head(capture)
    row, column = np.unravel_index(np.nanargmax(effects), effects.shape)
    return capture.layers[row], capture.heads[column]
