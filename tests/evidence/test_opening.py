"""The step, the head and the token read that a page opens on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from samples import make_capture

from reportgen.build.capture import capture
from reportgen.captures.record import Capture
from reportgen.evidence.default_head import find_default_head
from reportgen.evidence.kinds.attribution import list_rows
from reportgen.evidence.opening import Opening, find_opening
from reportgen.models.model import LoadedModel
from reportgen.records import Prompt


def plant(made: Capture, *effects: tuple[int, int, int, int, float]) -> Capture:
    """Return the capture with these effects through single tokens, ``(step, row, column, key_pos, effect)`` each."""
    attribution = made.evidence.attribution
    sources = np.zeros_like(attribution.sources)
    for step, row, column, key_pos, effect in effects:
        sources[row, column, list_rows(made)[step]][key_pos] = effect
    return replace(made, evidence=made.evidence.replace(attribution=replace(attribution, sources=sources)))


def with_special(made: Capture, *positions: int) -> Capture:
    tokens = [replace(token, special=position in positions) for position, token in enumerate(made.tokens)]
    return replace(made, tokens=tuple(tokens))


def test_it_is_the_largest_effect_through_a_token_of_the_prompt_over_all_steps() -> None:
    made = plant(make_capture(layers=(2, 5), heads=(1, 3)), (0, 0, 0, 2, 1.0), (1, 1, 0, 3, 2.0), (2, 0, 1, 1, 1.5))
    assert find_opening(made) == Opening(layer=5, head=1, step=1, query_pos=5, key_pos=3)


def test_first_token_predicting_position_and_generated_tokens_do_not_count() -> None:
    made = make_capture()
    planted = plant(made, (0, 0, 0, 0, 9.0), (0, 0, 0, 4, 9.0), (2, 1, 2, 5, 9.0), (2, 2, 3, 4, 0.5))
    assert find_opening(planted) == Opening(2, 3, 2, 6, 4)


def test_special_tokens_are_neither_read_nor_written() -> None:
    planted = plant(make_capture(), (0, 0, 0, 2, 9.0), (2, 0, 0, 3, 8.0), (1, 1, 1, 3, 1.0))
    assert find_opening(with_special(planted, 2, 7)) == Opening(1, 1, 1, 5, 3)


def test_the_text_around_messages_does_not_count() -> None:
    planted = plant(
        make_capture(messages=({"role": "user", "content": "ate the"},)), (0, 0, 0, 1, 9.0), (0, 1, 1, 3, 1.0)
    )
    assert find_opening(planted) == Opening(1, 1, 0, 4, 3)


@pytest.mark.parametrize("effect", [-1.0, 0.0, np.nan])
def test_without_a_positive_effect_it_is_the_head_with_the_largest_effect_as_a_whole(effect: float) -> None:
    """Which is head 0 of the last layer in these captures."""
    planted = plant(make_capture(layers=(1, 4), heads=(0, 2)), (0, 0, 0, 2, effect))
    assert find_opening(planted) == Opening(4, 0, 0, 4, None)


def test_an_end_alone_is_all_that_was_written() -> None:
    planted = with_special(plant(make_capture(generated=("</s>",))), 5)
    assert find_opening(planted) == Opening(2, 0, 0, 4, None)
    assert find_opening(with_special(plant(make_capture()), 5)).step == 1


def test_a_capture_that_withheld_everything_opens_on_the_default_head() -> None:
    made = make_capture()
    nothing = {"sources": np.nan, "heads": np.nan}
    attribution = made.evidence.attribution
    arrays = {name: np.full_like(getattr(attribution, name), value) for name, value in nothing.items()}
    held = replace(made, evidence=made.evidence.replace(attribution=replace(attribution, **arrays)))
    assert find_opening(held) == Opening(*find_default_head(made), 0, 4, None)


@pytest.mark.parametrize("lacking", ["attribution", "sources"])
def test_without_effects_it_is_the_default_head(lacking: str) -> None:
    made = make_capture()
    attribution = None if lacking == "attribution" else replace(made.evidence.attribution, sources=None)
    lacks = replace(made, evidence=made.evidence.replace(attribution=attribution))
    assert find_opening(lacks) == Opening(*find_default_head(made), 0, 4, None)


def test_without_generation_it_is_the_last_position() -> None:
    made = make_capture(generated=())
    assert find_opening(made) == Opening(*find_default_head(made), None, 4, None)


@pytest.mark.parametrize(
    ("text", "new_tokens", "opening", "read", "written"),
    [
        ("The capital of France is", 2, Opening(23, 4, 0, 4, 3), " France", " Paris"),
        (
            "When Mary and John went to the store, John gave a drink to", 4, Opening(23, 0, 0, 13, 1), " Mary",
            " Mary",
        ),
        (
            "The cat ate the mat. And then sat on a rat. But what he wanted was a hat.", 10, Opening(23, 1, 2, 22, 19),
            " hat", " hat",
        ),
    ],
)  # fmt: skip
def test_bundled_model(
    smollm2: LoadedModel, text: str, new_tokens: int, opening: Opening, read: str, written: str
) -> None:
    found = capture(smollm2, Prompt(text=text, max_new_tokens=new_tokens))
    assert find_opening(found) == opening
    assert [found.tokens[position].text for position in (opening.key_pos or 0, opening.query_pos + 1)] == [
        read,
        written,
    ]
