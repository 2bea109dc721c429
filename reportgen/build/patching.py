"""Activation patching between the two prompts of a comparison: what to patch, and the runs that do it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from reportgen.captures.record import Capture
from reportgen.evidence.kinds.patching import Patching
from reportgen.pages.alignment import align_prompts
from reportgen.records import Comparison, Prompt, Token
from reportgen.records.errors import NoEvidence, ReportgenError, first_line

if TYPE_CHECKING:
    from reportgen.captures.collector import Watch
    from reportgen.evidence.collectors.patching import Patcher
    from reportgen.models.model import LoadedModel


@dataclass(frozen=True)
class PatchRequest:
    """What to patch between two prompts A and B.

    Attributes:
        slug: slug of the comparison.
        prompts: both prompts, which name their models.
        token_ids: ids of the tokens of both prompts.
        answers: the tokens to compare, that of A and that of B, as texts.
        known: the same tokens where they follow the prompts, so that their ids are known; otherwise ``None``.
        starts: first aligned position, in A and in B.
        length: number of aligned positions, which end with the prompts.
    """

    slug: str
    prompts: tuple[Prompt, Prompt]
    token_ids: tuple[tuple[int, ...], tuple[int, ...]]
    answers: tuple[str, str]
    known: tuple[Token | None, Token | None]
    starts: tuple[int, int]
    length: int

    @property
    def is_of_one_model(self) -> bool:
        """Whether both prompts run on the same network."""
        first, second = self.prompts
        return (first.model, first.adapter) == (second.model, second.adapter)

    @property
    def first_unlike(self) -> int:
        """How many aligned positions of one network stand before the first token that differs."""
        if not self.is_of_one_model or len(self.token_ids[0]) != len(self.token_ids[1]):
            return 0
        pairs = zip(*self.token_ids, strict=True)
        return next((place for place, (one, other) in enumerate(pairs) if one != other), self.length)


def plan_patching(comparison: Comparison, captures: Sequence[Capture], prompts: Sequence[Prompt]) -> PatchRequest:
    """Return what to patch between the sides of a comparison.

    Args:
        comparison: the comparison, which may name the answers.
        captures: captures of both prompts.
        prompts: the prompts as they run, with the names of their models.

    Raises:
        NoEvidence: the prompts do not align, or no two answers are known.
    """
    alignment = align_prompts(*captures)
    if alignment is None:
        raise NoEvidence("the prompts have different lengths and do not end alike: no position stands for another")
    known: tuple[Token | None, ...] = (None, None)
    answers = comparison.answers
    if not answers:
        known = tuple(one.tokens[one.num_prompt_tokens] if one.steps else None for one in captures)
        if any(token is None for token in known):
            raise NoEvidence("no token follows one of the prompts; name two “answers”")
        answers = tuple(token.text for token in known if token)
        if answers[0] == answers[1]:
            raise NoEvidence(f"both prompts go on with “{answers[0]}”; name two “answers” on which they differ")
    return PatchRequest(
        slug=comparison.slug,
        prompts=(prompts[0], prompts[1]),
        token_ids=(_list_prompt_ids(captures[0]), _list_prompt_ids(captures[1])),
        answers=(answers[0], answers[1]),
        known=(known[0], known[1]),
        starts=alignment.starts,
        length=alignment.length,
    )


def _list_prompt_ids(capture: Capture) -> tuple[int, ...]:
    return tuple(token.token_id for token in capture.tokens[: capture.num_prompt_tokens])


def measure_patching(
    request: PatchRequest, load: Callable[[Prompt], LoadedModel], watch: Callable[[Prompt], Watch]
) -> Patching | str:
    """Run the patches of both directions; of two models, one is in memory at a time.

    Args:
        request: what to patch.
        load: returns the model of a prompt.
        watch: returns the progress callback of the prompt that is changed.

    Returns:
        What was measured, or why it was not.
    """
    try:
        return _measure(request, load, watch)
    except (NoEvidence, ReportgenError) as error:
        return str(error)
    except Exception as error:  # a network of an unknown architecture may raise anything
        return f"it could not be computed, {first_line(error)}"


def _measure(
    request: PatchRequest, load: Callable[[Prompt], LoadedModel], watch: Callable[[Prompt], Watch]
) -> Patching:
    from reportgen.captures.tokenization import find_token
    from reportgen.captures.tokens import make_token
    from reportgen.evidence.collectors.patching import Patcher, Places, join

    answers: list[Token] = []

    def open_side(side: int) -> Patcher:
        model, found = load(request.prompts[side]), []
        for place, (text, known) in enumerate(zip(request.answers, request.known, strict=True)):
            is_own = known is not None and (place == side or request.is_of_one_model)
            token_id = known.token_id if known is not None and is_own else find_token(model, text)
            if token_id is None:
                raise NoEvidence(f"the answer “{text}” is not one token of {model.info.name}; write one of its tokens")
            found.append(token_id)
        if found[0] == found[1]:
            raise NoEvidence(f"both answers are the same token of {model.info.name}; name two")
        answers[:] = answers or [make_token(model.tokenizer, token_id) for token_id in found]
        return Patcher(model.network, request.token_ids[side], (found[0], found[1]))

    places = Places(*request.starts, request.length, request.first_unlike)
    back = replace(places, given=places.changed, changed=places.given)
    first = open_side(0)
    ours, given = first.difference, first.recorded
    if not request.is_of_one_model:
        del first  # its network may be all that fits into memory
    second = open_side(1)
    theirs, taken = second.difference, second.recorded
    into_second = second.patch(given, places, watch(request.prompts[1]))
    if not request.is_of_one_model:
        del second
        first = open_side(0)
    into_first = first.patch(taken, back, watch(request.prompts[0]))
    return join(given, (ours, theirs), (into_second, into_first), places, (answers[0], answers[1]))
