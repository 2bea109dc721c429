"""Logits to predictions: distributions that a person can compute."""

from __future__ import annotations

import math

import pytest
import torch
from tiny import make_tokenizer

from reportgen.captures.predictions import Predictor
from reportgen.records import Prediction

INFINITY = float("inf")


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor(make_tokenizer())


def predict(predictor: Predictor, logits: torch.Tensor, chosen: int) -> Prediction:
    """Return one of two predictions that are made at once; the other is of a distribution unlike it."""
    return predictor.predict_all(torch.stack([torch.arange(len(logits)).to(logits.dtype), logits]), [0, chosen])[1]


def test_probabilities_rank_and_entropy(predictor: Predictor) -> None:
    """Of ½, ¼, ⅛, ⅛: 1.75 bits."""
    prediction = predict(predictor, torch.tensor([0.25, 0.5, 0.125, 0.125]).log() + 3, chosen=0)
    assert prediction.logprob == pytest.approx(math.log(0.25))
    assert prediction.rank == 2
    assert prediction.entropy == pytest.approx(1.75 * math.log(2))
    assert [token.token_id for token, _ in prediction.alternatives] == [1, 0, 2, 3]
    assert [logprob for _, logprob in prediction.alternatives] == pytest.approx(
        [math.log(prob) for prob in (0.5, 0.25, 0.125, 0.125)]
    )


@pytest.mark.parametrize("best", [(), (258, 100)])
def test_ten_alternatives_with_ties_in_the_order_of_ids(predictor: Predictor, best: tuple[int, ...]) -> None:
    """More tokens share the last place than there is room for."""
    logits = torch.zeros(259)
    logits[list(best)] = torch.arange(len(best), 0, -1, dtype=torch.float32)
    alternatives = predict(predictor, logits, chosen=7).alternatives
    assert [token.token_id for token, _ in alternatives] == [*best, *range(10 - len(best))]


def test_large_vocabulary_adds_no_error(predictor: Predictor) -> None:
    """In float32 the logarithm is off by 1e-4 and the entropy by 1e-3 or more over 128,000 tokens."""
    logits = torch.linspace(-3, 9, 128_000).flip(0) ** 2 / 20
    exact = logits.double().log_softmax(-1)
    prediction = predict(predictor, logits, chosen=77_000)
    assert prediction.logprob == pytest.approx(float(exact[77_000]), abs=1e-10)
    assert prediction.entropy == pytest.approx(float(-(exact.exp() * exact).sum()), abs=1e-10)
    assert prediction.alternatives[0][1] == pytest.approx(float(exact.max()), abs=1e-10)


def test_uniform_distribution(predictor: Predictor) -> None:
    """Its entropy is the logarithm of the number of tokens; every token is of the best."""
    prediction = predict(predictor, torch.full((259,), -5.0), chosen=200)
    assert prediction.entropy == pytest.approx(math.log(259))
    assert prediction.rank == 1


def test_tokens_that_are_ruled_out(predictor: Predictor) -> None:
    """They are no alternatives and add no entropy; one that came next all the same has no probability."""
    logits = torch.full((259,), -INFINITY)
    logits[[4, 9]] = 0.0
    prediction = predict(predictor, logits, chosen=5)
    assert prediction.logprob == -INFINITY
    assert prediction.rank == 3
    assert prediction.entropy == pytest.approx(math.log(2))
    assert [(token.token_id, logprob) for token, logprob in prediction.alternatives] == [
        (4, pytest.approx(math.log(0.5))),
        (9, pytest.approx(math.log(0.5))),
    ]


def test_certainty_has_no_entropy(predictor: Predictor) -> None:
    logits = torch.full((259,), -INFINITY)
    logits[3] = 2.0
    prediction = predict(predictor, logits, chosen=3)
    assert (prediction.logprob, prediction.rank) == (0.0, 1)
    assert str(prediction.entropy) == "0.0"  # not "-0.0"


def test_half_precision_is_measured_in_full(predictor: Predictor) -> None:
    """In bfloat16 itself, ln(1/259) would be off by a hundredth."""
    prediction = predict(predictor, torch.zeros(259, dtype=torch.bfloat16), chosen=0)
    assert prediction.logprob == pytest.approx(-math.log(259), abs=1e-5)


@pytest.mark.parametrize("bad", [float("nan"), INFINITY])
def test_broken_logits_are_refused(predictor: Predictor, bad: float) -> None:
    logits = torch.zeros(259)
    logits[17] = bad
    with pytest.raises(ValueError, match="not finite.*float32"):
        predict(predictor, logits, chosen=0)


def test_nothing_left_is_refused(predictor: Predictor) -> None:
    with pytest.raises(ValueError, match="not finite"):
        predict(predictor, torch.full((259,), -INFINITY), chosen=0)
