"""Titles of folded sections."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from samples import make_capture, make_pattern

from reportgen.captures.record import Capture
from reportgen.evidence.kinds import list_measured
from reportgen.evidence.kinds.kind import Definition, Kind
from reportgen.pages.findings import make_findings
from reportgen.pages.sentences import to_text


def with_evidence(made: Capture, **kinds: Any) -> Capture:
    return replace(made, evidence=made.evidence.replace(**kinds))


def texts_of(made: Capture, name: str) -> list[str]:
    return [to_text(sentence, made.tokens) for sentence in make_findings(made)[name]]


def test_every_measured_kind_has_a_title_and_so_have_average_and_tokens() -> None:
    for made in (make_capture(), make_capture(generated=()), make_capture(("a",), ())):
        found = make_findings(made)
        assert {*found} == {kind.name for kind, _ in list_measured(made)} | {"average", "tokens"}
        assert all(len(sentences) in (1, len(made.steps)) for sentences in found.values())
        assert all(to_text(sentence) for sentences in found.values() for sentence in sentences)


@pytest.mark.parametrize(
    ("ranks", "says"),
    [
        ((3, 2, 1), "is best from layer 2 on"), ((1, 1, 1), "is best from layer 0 on"),
        ((1, 2, 1), "is best from layer 2 on"), ((2, 1, 2), "is not best after the last layer"),
        ((2, 3, 2), "is not best after any layer"),
    ],
)  # fmt: skip
def test_lens_says_where_the_token_settles(ranks: tuple[int, ...], says: str) -> None:
    made = make_capture()
    lens = replace(made.evidence.lens, ranks=np.array([[rank, 1, 1] for rank in ranks]))
    assert texts_of(with_evidence(made, lens=lens), "lens") == [
        f"Logit lens: “.” {says}", "Logit lens: “ And” is best from layer 0 on",
        "Logit lens: “ the” (7) is best from layer 0 on",
    ]  # fmt: skip


def test_ablation_says_the_largest_drop_of_each_method() -> None:
    made = make_capture(layers=(1, 4), heads=(0, 2), generated=(".",))
    changes = np.array([[[0.3, -0.2], [-2.14, np.nan]]], np.float32)
    zero = with_evidence(made, ablations={"ablation": changes})
    assert texts_of(zero, "ablations") == ["Ablation: without L4 H0, −2.1 nats"]
    both = with_evidence(made, ablations={"ablation": changes, "mean-ablation": changes[:, ::-1]})
    assert texts_of(both, "ablations") == ["Ablation: without L4 H0, −2.1 nats; at its mean, L1 H0, −2.1 nats"]
    for nothing in (np.abs(changes), np.full_like(changes, np.nan)):
        none = with_evidence(made, ablations={"ablation": nothing})
        assert texts_of(none, "ablations") == ["Ablation: without any one measured head, no loss"]
    none = with_evidence(made, ablations={"ablation": np.zeros_like(changes)})
    assert texts_of(none, "ablations") == ["Ablation: without any one head, no loss"]


def test_rollout_says_the_token_that_has_most() -> None:
    made = make_capture()
    cells = np.tril_indices(8)
    assert texts_of(made, "rollout") == [f"Rollout: {1 / n:.4f} on the first token" for n in (5, 6, 7)]
    previous = make_pattern("previous", 8)[cells].astype(np.float32)
    assert texts_of(with_evidence(made, rollout=previous), "rollout")[0] == "Rollout: 1.0000 on “ the” (3)"
    nearly = np.float32(0.99999) * make_pattern("first", 8)[cells].astype(np.float32)
    assert texts_of(with_evidence(made, rollout=nearly), "rollout") == ["Rollout: over 0.9999 on the first token"]
    silent = make_capture(generated=())
    assert texts_of(silent, "rollout") == ["Rollout: 0.2000 on the first token"]


def test_entropy_says_its_mean_and_the_head_that_spreads_most() -> None:
    made = make_capture(layers=(3,), heads=(0, 3))
    entropy = np.zeros((1, 2, 8), np.float32)
    entropy[0, 1] = 1.5
    entropy[0, 0, 0] = np.nan
    assert texts_of(with_evidence(made, entropy=entropy), "entropy") == [
        "Attention entropy: 0.75 nats on average; L3 H3 spreads most, 1.50"
    ]


def test_scores_count_the_labels() -> None:
    made = make_capture(layers=(0,), heads=(0, 1, 2))
    scores = {name: np.array([values], np.float32) for name, values in {
        "sink": (0.9, 0.5, 0.49), "previous": (0.1, 0.9, np.nan), "induction": (0, 0, 0), "distance": (9, 9, 9),
    }.items()}  # fmt: skip
    assert texts_of(with_evidence(made, scores=scores), "scores") == [
        "Head types: first token 2, previous token 1, of 3 heads"
    ]
    none = {name: np.zeros((1, 3), np.float32) for name in scores}
    assert texts_of(with_evidence(made, scores=none), "scores") == ["Head types: none has a label, of 3 heads"]


def test_average_is_over_all_heads_at_the_query_of_each_step() -> None:
    made = make_capture()
    patterns = made.attention[...]
    mean = patterns.mean((0, 1))
    for step, said in enumerate(texts_of(made, "average")):
        row = mean[4 + step]
        first, second = np.sort(row)[::-1][:2]
        assert said.startswith(f"Average over heads: {first:.2f} on ")
        assert f", {second:.2f} on " in said
    assert texts_of(make_capture(("a",), ()), "average") == ["Average over heads: 1.00 on the first token"]


def test_tokens_have_mean_log_probabilities() -> None:
    assert texts_of(make_capture(), "tokens") == ["All tokens: mean log-probability −1.39 of the prompt, −0.69 written"]
    assert texts_of(make_capture(generated=()), "tokens") == ["All tokens: mean log-probability −1.39 of the prompt"]
    assert texts_of(make_capture(("a",), ()), "tokens") == ["All tokens"]


def test_a_new_kind_has_its_name_for_a_title() -> None:
    class Counted(Kind):
        name = "counted"
        definitions = (Definition("counted", "counted heads", "", "", ""),)

    class Bare(Kind):
        name = "bare"

    assert [kind().find(make_capture(), 1, None) for kind in (Counted, Bare)] == [("Counted heads",), ("Bare",)]
