"""Head scores: planted heads, values worked out by hand, loops that follow the definitions word by word."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from oracle import define_scores
from samples import make_pattern, measure_layer

from reportgen.build.capture import capture
from reportgen.evidence.collectors.scores import HeadMeasurer
from reportgen.evidence.kinds.scores import HEAD_SCORES
from reportgen.models.model import LoadedModel
from reportgen.records import LayerType, Prompt

REPEATED = [1, 2, 3, 4, 1, 2, 3, 4]


def measure(
    pattern: np.ndarray, token_ids: list[int], norms: np.ndarray | None = None, *, has_sink: bool = False,
    layer_type: LayerType | None = None,
) -> dict[str, float]:  # fmt: skip
    """Return the scores of one head, which writes 1 from every key if nothing else is said."""
    lengths = torch.ones(1, len(pattern)) if norms is None else torch.from_numpy(norms)[None].float()
    measurer = HeadMeasurer(token_ids, torch.device("cpu"))
    scores = measure_layer(
        measurer, torch.from_numpy(pattern)[None].float(), lengths, has_sink=has_sink, layer_type=layer_type
    )
    assert {score.shape for score in scores.values()} == {(1,)}
    assert {score.dtype for score in scores.values()} == {np.dtype("float32")}
    return {name: float(score[0]) for name, score in scores.items()}


def plant(key_of: dict[int, int], n: int) -> np.ndarray:
    """Return a pattern in which each query reads one key: that of the table, else the first."""
    pattern = np.zeros((n, n))
    for query_pos in range(n):
        pattern[query_pos, key_of.get(query_pos, 0)] = 1
    return pattern


@pytest.mark.parametrize(("kind", "score"), [("self", "self"), ("previous", "previous"), ("first", "sink")])
def test_planted_head_has_its_score_in_full(kind: str, score: str) -> None:
    scores = measure(make_pattern(kind, 8), REPEATED)
    assert scores[score] == 1
    assert scores["entropy"] == 0


def test_planted_induction_head() -> None:
    """Positions 4 to 7 repeat 0 to 3: each reads what followed its token, except the last, which has nobody to find."""
    scores = measure(plant({4: 1, 5: 2, 6: 3, 7: 4}, 8), REPEATED)
    assert scores["induction"] == 1
    assert scores["duplicate"] == 0
    assert measure(plant({4: 1, 5: 2}, 8), REPEATED)["induction"] == 0.5


def test_planted_duplicate_head() -> None:
    """The token at 4 stood at 0, where a head that has nothing to find rests anyway."""
    scores = measure(plant({5: 1, 6: 2, 7: 3}, 8), REPEATED)
    assert scores["duplicate"] == 1
    assert scores["induction"] == 0


def test_token_right_before_its_repeat_has_no_induction() -> None:
    """In ``a a`` what followed the first ``a`` is the query itself."""
    scores = measure(make_pattern("uniform", 2), [5, 5])
    assert math.isnan(scores["induction"])
    assert scores["duplicate"] == 0.5


def test_uniform_head_by_hand() -> None:
    """Rows of halves, thirds, quarters; the fourth token is the first one again."""
    scores = measure(make_pattern("uniform", 4), [1, 2, 3, 1])
    assert scores == pytest.approx(
        {
            "sink": (1 / 2 + 1 / 3 + 1 / 4) / 3,
            "sink_weighted": (1 / 2 + 1 / 3 + 1 / 4) / 3,
            "previous": (1 / 2 + 1 / 3 + 1 / 4) / 3,
            "self": (1 / 2 + 1 / 3 + 1 / 4) / 3,
            "duplicate": 1 / 4,
            "induction": 1 / 4,
            "entropy": 1,
            "distance": (0.5 + 1 + 1.5) / 3,
            "distance_rest": (0.5 + 1) / 2,
        }
    )


@pytest.mark.parametrize("has_sink", [False, True])
@pytest.mark.parametrize(
    "layer_type", [LayerType(0), LayerType(0, window=5), LayerType(0, window=2), LayerType(0, chunk=4)], ids=str
)
@pytest.mark.parametrize("seed", range(3))
def test_random_head_equals_loops_over_the_definitions(seed: int, layer_type: LayerType, has_sink: bool) -> None:
    random = np.random.default_rng(seed)
    n = 14
    pattern = np.tril(random.random((n, n)) ** 4)
    for query_pos in range(n):
        pattern[query_pos, : layer_type.first_key(query_pos)] = 0
    pattern /= pattern.sum(axis=1, keepdims=True)
    if has_sink:
        pattern *= random.random((n, 1))
    ids, norms = random.integers(0, 4, n).tolist(), random.random(n)
    found = measure(pattern, ids, norms, has_sink=has_sink, layer_type=layer_type)
    assert found == pytest.approx(
        define_scores(pattern, ids, norms, layer_type, has_sink=has_sink), rel=1e-5, nan_ok=True
    )


def test_window_that_the_weights_contradict_is_no_window() -> None:
    pattern = make_pattern("uniform", 8)
    assert measure(pattern, REPEATED, layer_type=LayerType(0, window=3)) == measure(pattern, REPEATED)


@pytest.mark.parametrize("left", [1e-3, 1e-7, 1e-12])
def test_distance_without_the_first_token_survives_that_it_has_almost_all(left: float) -> None:
    """What is left, here on the key three back, is summed: one less the first token's weight would be rounding."""
    pattern = make_pattern("first", 400)
    for query_pos in range(4, 400):
        pattern[query_pos, [0, query_pos - 3]] = 1 - left, left
    scores = measure(pattern, list(range(400)))
    assert scores["distance_rest"] == pytest.approx(3, rel=1e-5)


def test_first_token_that_is_read_and_writes_little() -> None:
    """Half of each row is on it, and it writes a third as much as the others: a quarter of what is written."""
    pattern = make_pattern("self", 4)
    pattern[1:, 0] = pattern[range(1, 4), range(1, 4)] = 0.5
    scores = measure(pattern, [1, 2, 3, 4], np.array([1, 3, 3, 3]))
    assert (scores["sink"], scores["sink_weighted"]) == (0.5, 0.25)


def test_head_of_unknown_lengths_has_no_weighted_score() -> None:
    measurer = HeadMeasurer([1, 2], torch.device("cpu"))
    scores = measure_layer(measurer, torch.from_numpy(make_pattern("uniform", 2))[None])
    assert np.isnan(scores["sink_weighted"]).all()
    assert scores["sink"] == 0.5


def test_what_a_learned_sink_takes_counts_as_the_sink_s() -> None:
    halved = make_pattern("self", 5) / 2
    assert measure(halved, [1, 2, 3, 4, 5], has_sink=True)["sink"] == 0.5
    assert measure(halved, [1, 2, 3, 4, 5])["sink"] == 0


def test_without_repeats_two_scores_are_undefined() -> None:
    scores = measure(make_pattern("uniform", 4), [1, 2, 3, 4])
    assert {name for name, score in scores.items() if math.isnan(score)} == {"duplicate", "induction"}


def test_one_token_has_no_score() -> None:
    assert all(math.isnan(score) for score in measure(make_pattern("self", 1), [1]).values())


def test_head_that_reads_the_first_token_alone_has_no_distance_to_the_rest() -> None:
    scores = measure(make_pattern("first", 4), [1, 2, 3, 4])
    assert math.isnan(scores["distance_rest"])
    assert scores["distance"] == 2


def test_half_precision_is_measured_in_full() -> None:
    """A thousand weights of a thousandth: sums in bfloat16 would stop growing long before."""
    pattern = torch.from_numpy(make_pattern("uniform", 1000)).bfloat16()[None]
    scores = measure_layer(HeadMeasurer(list(range(1000)), torch.device("cpu")), pattern)
    assert scores["entropy"][0] == pytest.approx(1, abs=2e-3)


def test_every_score_is_defined_in_words(tiny_llama: LoadedModel) -> None:
    captured = capture(tiny_llama, Prompt(text="abcabc", max_new_tokens=0))
    assert [score.name for score in HEAD_SCORES] == [*captured.evidence.scores, "retrieval"]
    assert {values.shape for values in captured.evidence.scores.values()} == {(3, 4)}


def test_scores_of_a_capture_are_those_of_its_patterns(tiny_gpt2: LoadedModel) -> None:
    """Those of the patterns are kept as float16; scores come from the weights before that."""
    captured = capture(tiny_gpt2, Prompt(text="the cat and the rat", max_new_tokens=4))
    ids = [token.token_id for token in captured.tokens]
    for row, layer in enumerate(captured.layers):
        for column, head in enumerate(captured.heads):
            assert captured.evidence.value_norms is not None
            expected = measure(captured.attention[layer, head], ids, captured.evidence.value_norms[row, column])
            found = {name: float(values[row, column]) for name, values in captured.evidence.scores.items()}
            assert found == pytest.approx(expected, abs=2e-3, nan_ok=True)


def test_selected_heads_have_the_scores_that_they_have_among_all(tiny_llama: LoadedModel) -> None:
    from reportgen.records.selection import parse_selection

    everything = capture(tiny_llama, Prompt(text="abcabc", max_new_tokens=0))
    some = Prompt(text="abcabc", max_new_tokens=0, layers=parse_selection("0,2"), heads=parse_selection("3,1"))
    selected = capture(tiny_llama, some)
    for name, values in selected.evidence.scores.items():
        assert np.array_equal(values, everything.evidence.scores[name][[0, 2]][:, [1, 3]], equal_nan=True)


def test_real_induction_heads_come_out_on_top(smollm2: LoadedModel) -> None:
    """On random tokens said twice, only a head that looks for the last time can know where to look."""
    random = np.random.default_rng(0)
    ids = random.integers(1000, 40000, 40).tolist()
    text = str(smollm2.tokenizer.decode(ids))
    captured = capture(smollm2, Prompt(text=text * 2, max_new_tokens=0))
    induction = captured.evidence.scores["induction"]
    best = np.unravel_index(np.argmax(induction), induction.shape)
    assert float(induction[best]) > 0.5
    assert float(np.median(induction)) < 0.1
