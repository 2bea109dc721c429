"""Cards: what the index says of a page, and the small picture on it."""

from __future__ import annotations

import base64
import io
import json
import math
from dataclasses import asdict, replace

import numpy as np
import pytest
from PIL import Image
from samples import HOSTILE, make_capture

from reportgen.captures.record import Capture
from reportgen.pages.cards import Card, FailureCard, draw_thumbnail, excerpt, make_card, make_failure_card, parse_card
from reportgen.pages.palettes import PALETTES
from reportgen.records import Failure, Prompt


def picture_of(address: str) -> np.ndarray:
    """Return the palette indices ``[row, column]`` of a PNG at a ``data:`` address."""
    kind, _, data = address.partition(",")
    assert kind == "data:image/png;base64"
    with Image.open(io.BytesIO(base64.b64decode(data, validate=True))) as picture:
        assert (picture.format, picture.mode) == ("PNG", "P")
        return np.array(picture)


def one_head(pattern: np.ndarray) -> Capture:
    """Return a capture of one head."""
    capture = make_capture(tuple("abcdefgh")[: len(pattern)], (), layers=(0,), heads=(0,))
    return replace(capture, attention=pattern[np.tril_indices(len(pattern))].astype(np.float16)[None, None])


def test_card_names_its_page() -> None:
    card = make_card(make_capture(tags=("notebook", "Names")))
    assert replace(card, thumbnail="") == Card(
        "cat",
        "A cat and a mat",
        "The cat ate the mat",
        "tiny",
        ("notebook", "Names"),
        5,
        3,
        "",
        -1.38629436,
        -0.693147181,
    )
    assert card.href == "cat.html"
    means = "mean log-probability: prompt −1.39, generated −0.69"
    assert card.facts == f"tiny · 5 prompt + 3 generated tokens · {means}"


def test_mean_is_left_out_where_there_is_nothing_to_average() -> None:
    card = make_card(make_capture(("a",), ()))
    assert (card.prompt_logprob, card.generated_logprob) == (None, None)
    assert card.facts == "tiny · 1 prompt + 0 generated tokens"


def test_card_of_a_forecast_counts_nothing_as_generated() -> None:
    card = make_card(make_capture(generated=(" the",), max_new_tokens=0))
    assert (card.num_prompt_tokens, card.num_steps, card.next_token, card.generated_logprob) == (5, 0, "␣the", None)
    assert card.facts == (
        "tiny · 5 prompt + 0 generated tokens, would write ␣the next · mean log-probability: prompt −1.39"
    )
    assert make_card(make_capture(generated=(" the",))).next_token == ""


def test_mean_of_an_impossible_token_is_undefined() -> None:
    capture = make_capture()
    impossible = replace(capture.prompt_predictions[0], logprob=-math.inf)
    card = make_card(replace(capture, prompt_predictions=(impossible, *capture.prompt_predictions[1:])))
    assert card.prompt_logprob is None


def test_card_of_an_older_page_is_read() -> None:
    values = asdict(make_card(make_capture()))
    older = {name: value for name, value in values.items() if not name.endswith("_logprob")}
    assert parse_card(older) == replace(make_card(make_capture()), prompt_logprob=None, generated_logprob=None)


def test_card_comes_back_from_json() -> None:
    card = make_card(make_capture(HOSTILE, title=HOSTILE[0], tags=HOSTILE))
    assert parse_card(json.loads(json.dumps(asdict(card)))) == card


@pytest.mark.parametrize("values", [{}, {"slug": "a"}, {**asdict(make_card(make_capture())), "colour": "red"}, [1]])
def test_what_is_no_card_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(TypeError):
        parse_card(values)


def test_failure_keeps_its_error() -> None:
    failure = Failure(Prompt(text="a", title="A Title", slug="a", model="GPT2"), "prompts.yaml:3: too long; Shorten it")
    card = make_failure_card(failure)
    assert card == FailureCard("a", "A Title", "GPT2", "prompts.yaml:3: too long; Shorten it")
    assert card.facts == "GPT2 · no page"


def test_excerpt_is_the_beginning_of_the_prompt_alone() -> None:
    assert excerpt(make_capture(("a b", "\n", "c"), ("d",))) == "a b\nc"
    assert excerpt(make_capture(("ab",) * 400, ())) == "ab" * 150


def test_thumbnail_leaves_the_first_token_out() -> None:
    half = np.array([[1, 0, 0], [0.75, 0.25, 0], [0, 0, 1]])
    # Shades are square roots, and the strongest weight is the darkest colour: sqrt(0.25) of 15 is 8.
    assert picture_of(draw_thumbnail(one_head(half))).tolist() == [[0, 0, 0], [0, 8, 0], [0, 0, 15]]


def test_thumbnail_is_the_mean_of_all_heads() -> None:
    capture = make_capture(("a", "b"), (), layers=(0, 1), heads=(0, 1))  # self, previous; previous, first
    triangles = np.array([[[1, 0, 1], [1, 1, 0]], [[1, 1, 0], [1, 0.5, 0.5]]], np.float16)
    assert picture_of(draw_thumbnail(replace(capture, attention=triangles))).tolist() == [[0, 0], [0, 15]]


def test_thumbnail_of_one_token_shows_it() -> None:
    """There is no other that the first token could hide."""
    assert picture_of(draw_thumbnail(one_head(np.ones((1, 1))))).tolist() == [[15]]


def test_card_of_a_chat_shows_what_the_user_said_last() -> None:
    said = (
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Yes?"},
        {"role": "user", "content": "So"},
    )
    assert make_card(make_capture(messages=said)).text == "So"


def test_thumbnail_of_a_long_prompt_is_small() -> None:
    long = make_capture(("a",) * 100, (), layers=(0,), heads=(0,))
    shades = picture_of(draw_thumbnail(long))
    assert (shades == 15 * np.eye(32)).all()


def test_thumbnail_of_noise_has_at_most_two_kilobytes() -> None:
    """Nothing is larger: no two cells need be alike."""
    triangle = np.random.default_rng(0).random(80_200)
    long = make_capture(("a",) * 400, (), layers=(0,), heads=(0,))
    assert len(draw_thumbnail(replace(long, attention=triangle.astype(np.float16)[None, None]))) < 1200


def test_thumbnail_is_blue() -> None:
    data = base64.b64decode(draw_thumbnail(one_head(np.eye(2))).partition(",")[2])
    with Image.open(io.BytesIO(data)) as picture:
        colours = picture.convert("RGB")
        blank, dark = (colours.getpixel(place) for place in ((0, 0), (1, 1)))
    assert [bytes(blank).hex(), bytes(dark).hex()] == [PALETTES["blues"][0][1:], PALETTES["blues"][255][1:]]


def test_same_capture_gives_the_same_card() -> None:
    assert make_card(make_capture()) == make_card(make_capture())


def test_failure_does_not_publish_paths() -> None:
    prompt = Prompt("x", slug="x", title="x", model="/home/someone/base", adapter="/home/someone/base-lora")
    error = "adapter '/home/someone/base-lora' on model '/home/someone/base': it has no weights"
    card = make_failure_card(Failure(prompt, error))
    assert (card.model, card.error) == ("base + base-lora", "adapter 'base-lora' on model 'base': it has no weights")
