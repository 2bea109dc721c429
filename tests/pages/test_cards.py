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
from reportgen.pages.cards import Card, FailureCard, excerpt, make_card, make_failure_card, parse_card
from reportgen.pages.compare import make_compare_card
from reportgen.pages.stills import THUMBNAIL_SIDE, draw_thumbnail
from reportgen.records import Comparison, Failure, Prompt
from reportgen.records.evidence import Evidence

ABOVE, BELOW, WEIGHT = (210, 117, 47), (150, 107, 196), (63, 134, 218)


def pixels_of(address: str) -> np.ndarray:
    """Return the colours ``[row, column, RGBA]`` of a PNG at a ``data:`` address."""
    kind, _, data = address.partition(",")
    assert kind == "data:image/png;base64"
    with Image.open(io.BytesIO(base64.b64decode(data, validate=True))) as picture:
        assert (picture.format, picture.mode) == ("PNG", "P")
        return np.array(picture.convert("RGBA"))


def make_bare(**options: object) -> Capture:
    """Return a capture without evidence."""
    return replace(make_capture(**options), evidence=Evidence())  # pyright: ignore[reportArgumentType]


def test_card_names_its_page() -> None:
    """Head 0 of layer 1 reads the token before; at step 1 that is the prompt's last token: 4 tenths of a logit."""
    card = make_card(make_capture(tags=("notebook", "Names")))
    assert replace(card, thumbnail="", said=()) == Card(
        slug="cat",
        title="A cat and a mat",
        text="The cat ate the mat",
        model="tiny",
        tags=("notebook", "Names"),
        num_prompt_tokens=5,
        num_steps=3,
        thumbnail="",
        completion=". And the",
        prob=0.5,
        head="L1 H0",
        through="␣mat",
        weight=1.0,
        effect=0.400000006,
        prompt_logprob=-1.38629436,
        generated_logprob=-0.693147181,
    )
    assert (card.href, card.counts) == ("cat.html", "5 + 3")


def test_card_says_which_head_reads_what() -> None:
    assert make_card(make_capture()).said == [
        ["head", 1, 0], " reads ", ["token", "␣mat", 4], " (1.00) for ", ["token", "␣And", 6], " 50\u00a0%, ",
        ["strong", "+0.4"],
    ]  # fmt: skip


def test_without_effects_the_card_says_what_the_default_head_reads() -> None:
    card = make_card(make_bare(generated=()))
    (_, layer, head), *said = card.said
    assert (card.head, card.effect, card.prob) == (f"L{layer} H{head}", None, None)
    assert said == [" reads ", ["token", card.through, 1], f" ({card.weight:.2f}) at ", ["token", "␣mat", 4]]


def test_card_says_so_where_no_token_has_an_effect() -> None:
    capture = make_capture()
    attribution = capture.evidence.attribution
    assert attribution
    assert attribution.sources is not None
    none = replace(attribution, sources=np.zeros_like(attribution.sources))
    card = make_card(replace(capture, evidence=capture.evidence.replace(attribution=none)))
    assert card.said[0] == "No single earlier token adds 0.1 logits for "
    assert (card.head, card.through, card.effect, card.prob) == ("", "", None, 0.5)


def test_mean_is_left_out_where_there_is_nothing_to_average() -> None:
    card = make_card(make_capture(("a",), ()))
    assert (card.prompt_logprob, card.generated_logprob, card.completion) == (None, None, "")


def test_card_of_a_forecast_counts_nothing_as_generated() -> None:
    card = make_card(make_capture(generated=(" so",), max_new_tokens=0))
    assert (card.counts, card.completion, card.generated_logprob, card.prob) == ("5 + 0", "", None, 0.5)
    assert card.said[-3:] == [["token", "␣so", 5], " next, 50\u00a0%, ", ["strong", "+0.2"]]


def test_mean_of_an_impossible_token_is_undefined() -> None:
    capture = make_capture()
    impossible = replace(capture.prompt_predictions[0], logprob=-math.inf)
    card = make_card(replace(capture, prompt_predictions=(impossible, *capture.prompt_predictions[1:])))
    assert card.prompt_logprob is None


def test_card_comes_back_from_json() -> None:
    card = make_card(make_capture(HOSTILE, title=HOSTILE[0], tags=HOSTILE))
    assert parse_card(json.loads(json.dumps(asdict(card)))) == card


@pytest.mark.parametrize("values", [{}, {"slug": "a"}, {**asdict(make_card(make_capture())), "colour": "red"}, [1]])
def test_what_is_no_card_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(TypeError):
        parse_card(values)


@pytest.mark.parametrize(
    ("title", "shown"),
    [
        ("The cat ate the mat", ""),
        ("The cat ate…", ""),
        ("The cat", "The cat"),
        ("A cat and a mat", "A cat and a mat"),
    ],
)
def test_title_is_shown_where_it_is_not_the_text(title: str, shown: str) -> None:
    assert make_card(make_capture(title=title)).own_title == shown


def test_long_prompt_keeps_its_end_and_a_long_completion_its_beginning() -> None:
    card = make_card(make_capture((" word",) * 100, (" then",) * 50))
    assert card.text.endswith("word word … word word word word word word word word word word word word")
    assert len(card.text) < 190
    assert card.completion == (" then" * 18) + "…"


def test_completion_has_no_special_tokens() -> None:
    capture = make_capture()
    *tokens, last = capture.tokens
    assert make_card(replace(capture, tokens=(*tokens, replace(last, special=True)))).completion == ". And"


def test_failure_keeps_its_error() -> None:
    failure = Failure(Prompt(text="a", title="A Title", slug="a", model="GPT2"), "prompts.yaml:3: too long; Shorten it")
    card = make_failure_card(failure)
    assert card == FailureCard("a", "A Title", "GPT2", "prompts.yaml:3: too long; Shorten it")
    assert (card.place, card.reason) == ("prompts.yaml:3", "too long; Shorten it")


def test_failure_without_a_place_is_all_reason() -> None:
    card = FailureCard("a", "A", "gpt2", "disk: full")
    assert (card.place, card.reason) == ("", "disk: full")


def test_excerpt_is_the_beginning_of_the_prompt_alone() -> None:
    assert excerpt(make_capture(("a b", "\n", "c"), ("d",))) == "a b\nc"
    assert excerpt(make_capture(("ab",) * 400, ())) == "ab" * 150


def test_card_of_a_chat_shows_what_the_user_said_last() -> None:
    said = (
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Yes?"},
        {"role": "user", "content": "So"},
    )
    assert make_card(make_capture(messages=said)).text == "So"


def test_thumbnail_is_the_map_of_effects() -> None:
    """Head ``h`` of layer ``l`` adds (l + 1)(1 - h): the last layer is at the top, head 1 adds nothing."""
    pixels = pixels_of(make_card(make_capture()).thumbnail)
    assert pixels.shape == (3, 4, 4)
    assert pixels[:, 0, :3].tolist() == [[*ABOVE]] * 3
    assert pixels[:, 1, 3].tolist() == [0, 0, 0]
    assert pixels[:, 3, :3].tolist() == [[*BELOW]] * 3
    largest = 6  # of layer 2, head 3
    shares = [[round(7 * (layer + 1) * abs(1 - head) / largest) for head in range(4)] for layer in (2, 1, 0)]
    assert (pixels[:, :, 3] == np.array(shares) * 255 // 7).all()


def test_thumbnail_without_effects_shows_the_largest_weight_off_the_first_token() -> None:
    pixels = pixels_of(make_card(make_bare(generated=())).thumbnail)
    # Layer 0: itself, the one before, the first, all five alike. Layer 1 does what comes next.
    assert pixels[2, :, 3].tolist() == [255, 255, 0, round(7 * math.sqrt(0.2)) * 255 // 7]
    assert pixels[1, :, 3].tolist() == pixels[2, [1, 2, 3, 0], 3].tolist()
    assert pixels[2, 0, :3].tolist() == [*WEIGHT]


def test_thumbnail_of_a_large_model_keeps_the_largest_of_each_group() -> None:
    shares = np.zeros((80, 100))
    shares[79, 99], shares[0, 0], shares[0, 1] = -1, 0.5, -0.9
    pixels = pixels_of(draw_thumbnail(shares, signed=True))
    assert pixels.shape == (THUMBNAIL_SIDE, THUMBNAIL_SIDE, 4)
    assert pixels[-1, -1].tolist() == [*BELOW, 255]
    assert pixels[0, 0].tolist() == [*BELOW, 6 * 255 // 7]
    assert np.count_nonzero(pixels[:, :, 3]) == 2


def test_thumbnail_of_noise_has_at_most_two_kilobytes() -> None:
    """Nothing is larger: no two cells need be alike."""
    noise = np.random.default_rng(0).uniform(-1, 1, (80, 64))
    assert len(draw_thumbnail(noise, signed=True)) < 2048


def test_unknown_effects_are_clear() -> None:
    assert pixels_of(draw_thumbnail(np.array([[np.nan, 1.0]]), signed=True))[0, :, 3].tolist() == [0, 255]


def test_same_capture_gives_the_same_card() -> None:
    assert make_card(make_capture()) == make_card(make_capture())


def test_card_of_a_comparison_says_which_head_reads_differently() -> None:
    """The sides differ in the last query of layer 2, head 3, which reads the second token instead of the third."""
    first = make_capture(slug="a", title="First", generated=())
    triangles = first.triangles.copy()
    triangles[2, 3, -5:] = 0
    triangles[2, 3, -4] = 1
    changed = replace(first, triangles=triangles, prompt=replace(first.prompt, slug="b", title="Second"))
    triangles = triangles.copy()
    triangles[2, 3, -4:-2] = 0, 1
    last = replace(first, triangles=triangles)
    card = make_compare_card(Comparison(("a", "b"), "Both", "both", ("x",)), last, changed)
    assert (card.compares, card.sides, card.head, card.tags) == (("First", "Second"), ("a", "b"), "L2 H3", ("x",))
    assert card.said == [
        ["head", 2, 3], " reads the two most differently: at ", ["token", "␣mat", None], " A reads ",
        ["token", "␣ate", None], " (1.00), B reads ", ["token", "␣cat", None], " (1.00)",
    ]  # fmt: skip
    alpha = pixels_of(card.thumbnail)[:, :, 3]
    assert [(row, column) for row, column in np.argwhere(alpha)] == [(0, 3)]  # the last layer is at the top
    assert alpha[0, 3] == round(7 * math.sqrt(1 / 5)) * 255 // 7  # one of five queries
    assert parse_card(json.loads(json.dumps(asdict(card)))) == card


def test_card_of_what_cannot_be_aligned_says_nothing_of_heads() -> None:
    sides = make_capture(("a", "b"), ()), make_capture(("c", "d", "e"), ())
    card = make_compare_card(Comparison(("a", "b"), "Both", "both"), *sides)
    assert (card.thumbnail, card.said, card.head, card.text) == ("", [], "", "ab | cde")


def test_failure_does_not_publish_paths() -> None:
    prompt = Prompt("x", slug="x", title="x", model="/home/someone/base", adapter="/home/someone/base-lora")
    error = "adapter '/home/someone/base-lora' on model '/home/someone/base': it has no weights"
    card = make_failure_card(Failure(prompt, error))
    assert (card.model, card.error) == ("base + base-lora", "adapter 'base-lora' on model 'base': it has no weights")
