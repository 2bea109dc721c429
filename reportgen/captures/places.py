"""Find the positions that claims and stories name."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from reportgen.records import Prompt, Token
from reportgen.records.address import parse_address
from reportgen.records.claim import FIRST, LAST, Place, TokenPlace
from reportgen.records.errors import PromptError
from reportgen.records.prompt import name_claim
from reportgen.records.story import explain_position, name_step


def check_places(prompt: Prompt, tokens: Sequence[Token], num_tokens: int) -> None:
    """Check the positions that the claims of a prompt name, before it runs.

    Args:
        prompt: the prompt.
        tokens: tokens of the prompt, and of its continuation if one is given.
        num_tokens: largest number of tokens of the whole text.

    Raises:
        PromptError: a token is not in the text, or there several times without ``nth``; a position is behind the end
            of the text; or a token is to be read by one before it.
    """
    for index, claim in enumerate(prompt.parsed_claims):
        query, key = (find_position(prompt, index, place, tokens) for place in (claim.query, claim.key))
        for position in (query, key):
            if position is not None and position >= num_tokens:
                raise _wrong(prompt, index, f"names position {position}, and the text has at most {num_tokens} tokens")
        if query is not None and key is not None and key > query:
            raise _wrong(
                prompt, index, f"is from position {query} to {key}, which comes later; attention reads what is before"
            )


def check_views(prompt: Prompt, num_tokens: int) -> None:
    """Check the positions that the views of a story name, before the prompt runs.

    Args:
        prompt: the prompt.
        num_tokens: largest number of tokens of the whole text.

    Raises:
        PromptError: a position is behind the end of the text.
    """
    for index, step in enumerate(prompt.story):
        if wrong := explain_position(parse_address(step.view), num_tokens):
            name = name_step(index)
            raise PromptError(f"{prompt.place.of(name)}: {name} {wrong}")


def find_position(prompt: Prompt, index: int, place: Place | None, tokens: Sequence[Token]) -> int | None:
    """Return the position of a place that does not depend on the step; ``None`` for ``last`` and for no place.

    Args:
        prompt: the prompt.
        index: index of the claim.
        place: the place.
        tokens: tokens in which a token is looked for.

    Raises:
        PromptError: a token is not there, or there several times without ``nth``.
    """
    if not isinstance(place, TokenPlace):
        return None if place is None or place == LAST else 0 if place == FIRST else int(place)
    found = [position for position, token in enumerate(tokens) if token.text == place.token]
    if not found:
        close = difflib.get_close_matches(place.token, [token.text for token in tokens], 1, cutoff=0.5)
        advice = f"did you mean {close[0]!r}?" if close else "write the exact text of one token, with its leading space"
        raise _wrong(prompt, index, f"names the token {place.token!r}, which the text does not have; {advice}")
    if place.nth is None and len(found) > 1:
        advice = f"say which with nth: {{token: …, nth: {len(found)}}}"
        raise _wrong(prompt, index, f"names the token {place.token!r}, which the text has {len(found)} times; {advice}")
    if place.nth is not None and place.nth > len(found):
        count = f"{len(found)} times" if len(found) > 1 else "once"
        raise _wrong(
            prompt, index, f"names the token {place.token!r}, which the text has {count}, and nth is {place.nth}"
        )
    return found[(place.nth or 1) - 1]


def _wrong(prompt: Prompt, index: int, message: str) -> PromptError:
    name = name_claim(index)
    return PromptError(f"{prompt.place.of(name)}: {name} {message}")
