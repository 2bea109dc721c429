"""Say what the folded sections of a page found, as their titles."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from reportgen.captures.quantization import dequantize_sqrt
from reportgen.captures.record import Capture
from reportgen.evidence.kinds import list_measured
from reportgen.pages.cards import mean_logprob
from reportgen.records.sentences import Sentence, TokenPart, format_logprob, format_weight, make_sentence


def make_findings(capture: Capture) -> Mapping[str, tuple[Sentence, ...]]:
    """Return the titles of the folded sections of a page.

    Returns:
        By the name of each kind of evidence that was measured, and by ``average`` for the average over heads and
        ``tokens`` for the list of all tokens: one sentence for each step, or a single one that is true for all steps.
    """
    found = {
        kind.name: _say_by_step(capture, lambda step, kind=kind, value=value: kind.find(capture, value, step))
        for kind, value in list_measured(capture)
    }
    first = capture.num_prompt_tokens - 1
    means = _average(capture, capture.row(first).start)
    found["average"] = _say_by_step(capture, lambda step: _say_average(capture, means, first + (step or 0)))
    found["tokens"] = (_say_tokens(capture),)
    return found


def _say_by_step(capture: Capture, say: Callable[[int | None], Sentence]) -> tuple[Sentence, ...]:
    sentences = tuple(say(step.step) for step in capture.steps) or (say(None),)
    return sentences if len(set(sentences)) > 1 else sentences[:1]


def _average(capture: Capture, start: int) -> NDArray[np.float32]:
    """Return the weights averaged over all captured heads, from a cell on, ``[cell]``."""
    means = np.zeros(capture.triangles.shape[-1] - start, np.float32)
    for weights in capture.triangles:  # one layer at a time, because float32 takes more memory than codes
        means += dequantize_sqrt(weights[:, start:]).mean(axis=0, dtype=np.float32)
    return means / np.float32(len(capture.triangles))


def _say_average(capture: Capture, means: NDArray[np.float32], query_pos: int) -> Sentence:
    start = len(means) - capture.triangles.shape[-1]
    cells = capture.row(query_pos)
    row = means[cells.start + start : cells.stop + start]
    best = [
        make_sentence(f"{format_weight(float(row[key_pos]))} on ", _name(capture, int(key_pos)))
        for key_pos in np.argsort(-row, kind="stable")[:2]
    ]
    return make_sentence("Average over heads: ", best[0], *(part for text in best[1:] for part in (", ", text)))


def _name(capture: Capture, key_pos: int) -> TokenPart | str:
    return TokenPart(capture.tokens[key_pos].shown, key_pos) if key_pos else "the first token"


def _say_tokens(capture: Capture) -> Sentence:
    means = {
        "of the prompt": mean_logprob(capture.prompt_predictions),
        "written": mean_logprob(step.raw for step in capture.steps),
    }
    known = [f"{format_logprob(mean)} {which}" for which, mean in means.items() if mean is not None]
    return ("All tokens" + f": mean log-probability {', '.join(known)}" * bool(known),)
