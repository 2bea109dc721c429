"""Judge the claims of a prompt by the numbers of its capture."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reportgen.captures.places import find_position
from reportgen.captures.record import Capture
from reportgen.evidence.kinds.attribution import Attribution, find_row
from reportgen.evidence.opening import find_opening
from reportgen.records.choices import EXTRA_EVIDENCE
from reportgen.records.claim import EFFECT, LAST, TOKEN, WEIGHT, Claim, Place
from reportgen.records.errors import PromptError
from reportgen.records.prompt import list_wrong_heads, name_claim


@dataclass(frozen=True)
class ClaimResult:
    """What a capture says of a claim.

    Attributes:
        claim: the claim.
        holds: whether it holds; a claim without a value does not.
        value: the measured number: a weight, an effect in logits, a head score, a change in nats (against a foil, in
            logits), or a probability; ``None`` if it is n/a.
        rank: 1 plus the number of captured heads with a larger value, or with a lower one where the claim is that the
            value is below a number; of a token, its place by probability. ``None`` if there is no value.
        num_passing: how many of the captured heads would pass the same claim; ``None`` for a token.
        num_measured: how many of the captured heads have a value; ``None`` for a token.
        num_heads: number of the captured heads; ``None`` for a token.
        missing: why there is no value; empty if there is one.
        step: 0-based step that the claim is about; ``None`` if nothing was generated, or it is about the whole text.
        query_pos: position that reads, for a weight.
        key_pos: position that is read, for a weight or an effect through one token.
    """

    claim: Claim
    holds: bool = False
    value: float | None = None
    rank: int | None = None
    num_passing: int | None = None
    num_measured: int | None = None
    num_heads: int | None = None
    missing: str = ""
    step: int | None = None
    query_pos: int | None = None
    key_pos: int | None = None


class _Missing(Exception):
    """There is no number that the claim is about; the message is the reason."""


def judge_claims(capture: Capture) -> tuple[ClaimResult, ...]:
    """Return what a capture says of each claim of its prompt.

    Raises:
        PromptError: a claim is on a head that the model or the selection of the prompt lacks, or names a token that is
            not in the text, or there several times.
    """
    prompt = capture.prompt
    for index, wrong in list_wrong_heads(prompt, capture.model.num_layers, capture.model.num_heads):
        raise PromptError(f"{prompt.place.of(name_claim(index))}: {name_claim(index)}: {wrong}")
    if not prompt.claims:
        return ()
    opening = find_opening(capture).step
    return tuple(_judge(capture, claim, index, opening) for index, claim in enumerate(prompt.parsed_claims))


def _judge(capture: Capture, claim: Claim, index: int, opening: int | None) -> ClaimResult:
    step = _find_step(capture, claim, opening)
    places = {
        "query_pos": _find_position(capture, index, claim.query, step),
        "key_pos": _find_position(capture, index, claim.key, step),
    }
    about: dict[str, Any] = {"claim": claim, "step": step, **places}
    count = len(capture.layers) * len(capture.heads)
    try:
        if claim.measure == TOKEN:
            return _judge_token(claim, *_find_token(capture, claim, step), about)
        return _judge_head(capture, claim, _measure(capture, claim, step, places), {**about, "num_heads": count})
    except _Missing as reason:
        return ClaimResult(**about, num_heads=None if claim.measure == TOKEN else count, missing=str(reason))


def _find_step(capture: Capture, claim: Claim, opening: int | None) -> int | None:
    is_at_step = claim.measure in (TOKEN, EFFECT, *EXTRA_EVIDENCE) or LAST in (claim.query, claim.key)
    if not is_at_step:
        return None
    if claim.step is None and claim.against:
        return next(foil.step for foil in capture.prompt.foils if foil.token == claim.against)
    return opening if claim.step is None else claim.step


def _find_position(capture: Capture, index: int, place: Place | None, step: int | None) -> int | None:
    if place == LAST:
        return capture.num_prompt_tokens - 1 + (step or 0)
    known = capture.num_tokens if capture.is_given else capture.num_prompt_tokens
    return find_position(capture.prompt, index, place, capture.tokens[:known])


def _judge_head(
    capture: Capture, claim: Claim, values: NDArray[np.floating[Any]], about: Mapping[str, Any]
) -> ClaimResult:
    """Judge a claim by the value of each captured head, ``[layer, head]``."""
    assert claim.head is not None
    assert claim.bound is not None
    layer, head = claim.head
    if layer not in capture.layers or head not in capture.heads:
        raise _Missing(f"layer {layer} has no attention that was captured")
    values = values.astype(float)
    place = capture.layers.index(layer), capture.heads.index(head)
    if np.isnan(values[place]):
        estimated = claim.measure in EXTRA_EVIDENCE
        undefined = "undefined for " + ("this text" if np.isnan(values).all() else "this head")
        raise _Missing("this head was only estimated, not removed" if estimated else undefined)
    ranks = _rank(values if claim.counts_from_lowest else -values)
    passing = claim.bound.holds(values)
    if claim.rank is not None:
        passing &= claim.rank.holds(ranks)
    return ClaimResult(
        **about,
        holds=bool(passing[place]),
        value=float(values[place]),
        rank=int(ranks[place]),
        num_passing=int(passing.sum()),
        num_measured=int((~np.isnan(values)).sum()),
    )


def _rank(values: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """Return 1 plus the number of lower values of each value; NaN where there is none."""
    known = np.sort(values[~np.isnan(values)])
    ranks = 1.0 + np.searchsorted(known, values)
    return np.where(np.isnan(values), np.nan, ranks)


def _measure(
    capture: Capture, claim: Claim, step: int | None, places: Mapping[str, int | None]
) -> NDArray[np.floating[Any]]:
    """Return what a claim is about for each captured head, ``[layer, head]``; NaN where it is undefined.

    Raises:
        _Missing: the capture does not have it.
    """
    if claim.measure == WEIGHT:
        return _measure_weights(capture, step, places)
    evidence = capture.evidence
    if claim.measure not in (EFFECT, *EXTRA_EVIDENCE):
        if claim.measure not in evidence.scores:
            raise _Missing(evidence.missing.get("scores", "this text does not define the score"))
        return evidence.scores[claim.measure]
    step = _check_step(capture, step)
    if claim.measure == EFFECT:
        return _measure_effects(capture, claim, step, places["key_pos"])
    changes = (evidence.foil_ablations if claim.against else evidence.ablations).get(claim.measure)
    if changes is None:
        kind = "foil_ablations" if claim.against else "ablations"
        raise _Missing(evidence.missing.get(kind, f"{claim.measure} was not measured"))
    return changes[_find_foil(capture, claim, step), step] if claim.against else changes[step]


def _measure_weights(capture: Capture, step: int | None, places: Mapping[str, int | None]) -> NDArray[np.floating[Any]]:
    query, key = places["query_pos"], places["key_pos"]
    assert query is not None
    assert key is not None
    if step is not None:
        _check_step(capture, step)
    for position in (query, key):
        if position >= capture.num_tokens:
            raise _Missing(f"the text has no position {position}, it ends with {capture.num_tokens - 1}")
    if key > query:
        raise _Missing(f"position {key} comes after {query}, which cannot read it")
    return capture.attention[..., query, key]


def _measure_effects(capture: Capture, claim: Claim, step: int, key: int | None) -> NDArray[np.floating[Any]]:
    attribution: Attribution | None = capture.evidence.attribution
    missing = capture.evidence.missing
    if attribution is None:
        raise _Missing(missing.get("attribution", "effects were not measured"))
    foil = _find_foil(capture, claim, step) if claim.against else None
    contrast = attribution.foil_contrast(foil)
    if reason := attribution.withheld[contrast][step]:
        raise _Missing(reason)
    if key is None:
        return attribution.heads[contrast, step]
    if attribution.sources is None:
        raise _Missing(missing.get("sources", "effects through single tokens were not measured"))
    if key > capture.query_pos_of_step(step):
        raise _Missing(f"position {key} comes after {capture.query_pos_of_step(step)}, which cannot read it")
    return attribution.sources[:, :, find_row(capture, step, foil).start + key]


def _check_step(capture: Capture, step: int | None) -> int:
    """Return a step that the capture has."""
    if not capture.steps or step is None:
        raise _Missing("nothing was generated")
    if step >= len(capture.steps):
        raise _Missing(f"the text ends before token {step + 1}")
    return step


def _find_foil(capture: Capture, claim: Claim, step: int) -> int:
    """Return the number of the measured foil that a claim compares with."""
    wanted = capture.prompt.foils
    for index, (asked, foil) in enumerate(zip(wanted, capture.foils, strict=True)):
        if asked.token == claim.against and asked.step == step:
            if foil.missing:
                raise _Missing(foil.missing)
            return sum(not earlier.missing for earlier in capture.foils[:index])
    raise _Missing(f"no foil {claim.against!r} was measured at this step")


def _find_token(capture: Capture, claim: Claim, step: int | None) -> tuple[float, int]:
    """Return log-probability and rank of a token in the distribution of a step, before sampling filters."""
    step = _check_step(capture, step)
    raw, written = capture.steps[step].raw, capture.tokens[capture.query_pos_of_step(step) + 1]
    found = {
        token.token_id: (logprob, 1 + sum(other > logprob for _, other in raw.alternatives))
        for token, logprob in raw.alternatives
        if token.text == claim.token
    }
    if written.text == claim.token:
        found[written.token_id] = raw.logprob, raw.rank
    for asked, foil in zip(capture.prompt.foils, capture.foils, strict=True):
        if asked.token == claim.token and asked.step == step and foil.logprob is not None and foil.rank is not None:
            found = {foil.token.token_id: (foil.logprob, foil.rank)}
    if len(found) > 1:
        raise _Missing(f"{len(found)} tokens have this text; name one under “foils”")
    for logprob, rank in found.values():
        return logprob, rank
    raise _Missing(f"it is none of the {len(raw.alternatives)} most probable tokens; name it under “foils”")


def _judge_token(claim: Claim, logprob: float, rank: int, about: Mapping[str, Any]) -> ClaimResult:
    prob = math.exp(logprob)
    holds = (claim.bound is None or claim.bound.holds(prob)) and (claim.rank is None or claim.rank.holds(rank))
    return ClaimResult(**about, holds=holds, value=prob, rank=rank)
