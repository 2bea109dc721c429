"""What a prompt leaves out is not measured, and changes nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from families import make_network
from html_tree import parse_html
from tiny import make_tokenizer

from reportgen.build.capture import capture
from reportgen.captures.record import Capture
from reportgen.evidence.collectors import lens
from reportgen.evidence.evidence_collector import EvidenceCollector
from reportgen.evidence.kinds import KINDS
from reportgen.instrumentation.recording import Recorder
from reportgen.models.model import LoadedModel, wrap_model
from reportgen.pages.data_tables import make_tables
from reportgen.pages.page import render_page
from reportgen.records import LEFT_OUT, Prompt
from reportgen.records.choices import USUAL_EVIDENCE
from reportgen.records.equality import is_equal

TEXT = "The cat ate the mat. And then"
STEPS = 5


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return wrap_model(make_network("llama", vocab_size=5003), make_tokenizer(), name="tiny")


@pytest.fixture(scope="module")
def run(model: LoadedModel) -> Callable[..., Capture]:
    return lambda *without: capture(model, Prompt(text=TEXT, max_new_tokens=STEPS, without=without))


@pytest.fixture(scope="module")
def whole(run: Callable[..., Capture]) -> Capture:
    return run()


@pytest.fixture
def count(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any, str], list[Any]]:
    """Return what lists the first arguments of all calls of a function."""

    def watch(owner: Any, name: str) -> list[Any]:
        usual, calls = getattr(owner, name), []

        def call(*args: Any, **kwargs: Any) -> Any:
            calls.append(args)
            return usual(*args, **kwargs)

        monkeypatch.setattr(owner, name, call)
        return calls

    return watch


def test_every_usual_kind_can_be_left_out() -> None:
    """Ablation is measured on request, spans and foils where they are given."""
    asked = {"ablations", "foil_ablations", "screening", "spans"}
    assert {kind.name for kind in KINDS} - asked == set(USUAL_EVIDENCE)


@pytest.mark.parametrize("left", [*((name,) for name in (*USUAL_EVIDENCE, "predictions")), ("lens", "attribution")])
def test_the_rest_is_equal_bit_by_bit(run: Callable[..., Capture], whole: Capture, left: tuple[str, ...]) -> None:
    made = run(*left)
    assert made.evidence.missing == dict.fromkeys(left, LEFT_OUT)
    kept = {name: value for name, value in whole.evidence.measured.items() if name not in left}
    assert made.evidence.measured.keys() == kept.keys()
    assert is_equal(dict(made.evidence.measured), kept)
    assert is_equal((made.triangles, made.steps, made.tokens), (whole.triangles, whole.steps, whole.tokens))
    assert made.prompt_predictions == (() if "predictions" in left else whole.prompt_predictions)
    assert len(whole.prompt_predictions) == whole.num_prompt_tokens - 1


def test_logits_of_the_prompt_are_not_computed(model: LoadedModel, run: Callable[..., Capture], whole: Capture) -> None:
    rows: list[int] = []
    hook = model.network.lm_head.register_forward_hook(lambda _, given, __: rows.append(given[0].shape[1]))
    try:
        run()
        everything = sum(rows)
        run("predictions")
    finally:
        hook.remove()
    assert everything - (sum(rows) - everything) == whole.num_prompt_tokens - 1


def test_the_lens_is_not_unembedded(run: Callable[..., Capture], count: Callable[..., list[Any]]) -> None:
    chunks = count(lens, "_chunk")
    run("lens")
    assert chunks == []
    run()
    assert chunks != []


def test_the_stream_is_followed_only_for_what_reads_it(
    run: Callable[..., Capture], count: Callable[..., list[Any]]
) -> None:
    layers = count(Recorder, "see_layer")
    run("lens", "attribution")
    assert layers == []
    run("lens")
    assert len(layers) == 2 * (1 + STEPS)  # two layers; the last token is read by a pass of its own


def test_memory_of_what_is_left_out_is_not_counted() -> None:
    every, some = (EvidenceCollector.count_bytes([3, 4, 3], 200, 30, without) for without in ((), ("rollout",)))
    assert every - some == 4 * 3 * 200**2


def test_capture_file_holds_what_is_left(run: Callable[..., Capture], tmp_path: Path) -> None:
    made = run("predictions", "scores")
    made.save(tmp_path / "some.safetensors")
    assert Capture.load(tmp_path / "some.safetensors") == made


def test_page_and_tables_do_without(run: Callable[..., Capture], whole: Capture) -> None:
    made = run(*USUAL_EVIDENCE, "predictions")
    page = parse_html(render_page(made))
    (line,) = page.find("p", class_="unmeasured")
    assert line.text == (
        "Not on this page: head scores, weight × value, direct logit attribution, logit lens, attention rollout, "
        "attention entropy, predictions of the prompt’s tokens (left out by “without”)."
    )
    assert "Prompt tokens" not in [title.text for title in page.find("h3")]
    assert not [name for name in ("lens", "rollout", "scores", "effect", "read") if page.find(id=name)]
    columns, known = make_tables(made)["tokens"], make_tables(whole)["tokens"]
    assert columns["logprob"] == [*[None] * whole.num_prompt_tokens, *known["logprob"][whole.num_prompt_tokens :]]


def test_prompts_that_leave_out_something_share_a_batch(model: LoadedModel) -> None:
    from reportgen.captures.batches import make_batches

    prompts = [Prompt(text=TEXT, without=without) for without in ((), ("lens",), (), ("lens",))]
    sizes = [[encoded.prompt.without for encoded in batch] for batch in make_batches(model, prompts)]
    assert sizes == [[(), ()], [("lens",), ("lens",)]]


def test_second_pass_leaves_out_the_same(whole: Capture) -> None:
    network = make_network("bloom")
    with torch.no_grad():
        made = capture(wrap_model(network, make_tokenizer(), name="b"), Prompt(text=TEXT, without=("lens", "rollout")))
    assert made.strategy == "second pass"
    assert made.evidence.missing == {"lens": LEFT_OUT, "rollout": LEFT_OUT}
