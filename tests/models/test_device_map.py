"""Models spread over devices. No machine of the tests has two: parts are left on the disk, which takes the same hooks.

accelerate fetches such a part for the time of a call and takes it away again: what looks at weights between calls finds
none, and what does not ask where a weight is finds it on another device.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import accelerate
import numpy as np
import pytest
import torch
from html_tree import parse_html
from tiny import make_gpt2, make_llama, make_tokenizer, save_adapter
from transformers import AutoModelForCausalLM, GPT2LMHeadModel, LlamaForCausalLM, PreTrainedModel

from reportgen.build.build import build_site
from reportgen.build.capture import capture
from reportgen.build.options import BuildOptions
from reportgen.captures.record import Capture
from reportgen.instrumentation.anatomy import input_device, output_device, weight_of
from reportgen.models.adapter import merge_adapter
from reportgen.models.hf_errors import explain, quiet
from reportgen.models.model import _devices_of, check_settings, load_model, wrap_model
from reportgen.records import Generation, Prompt
from reportgen.records.errors import ModelError, NoEvidence

PROMPT = Prompt(text="The cat ate the", max_new_tokens=4, evidence=("ablation", "mean-ablation"))
LLAMA = ("model.embed_tokens", "model.layers.0", "model.layers.1", "model.layers.2", "model.norm", "lm_head")
GPT2 = ("transformer.wte", "transformer.wpe", "transformer.h.0", "transformer.h.1", "transformer.ln_f", "lm_head")
Make = Callable[[], LlamaForCausalLM | GPT2LMHeadModel]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return folders of a Llama and a GPT-2."""
    folder = tmp_path_factory.mktemp("spread")
    with quiet():
        for name, make in (("llama", make_llama), ("gpt2", make_gpt2)):
            make().save_pretrained(folder / name)
            make_tokenizer().save_pretrained(folder / name)
    return {name: folder / name for name in ("llama", "gpt2")}


def load_spread(folder: Path, parts: tuple[str, ...], on_disk: tuple[str, ...]) -> PreTrainedModel:
    """Load a model with some of its parts left on the disk."""
    device_map = {part: "disk" if part in on_disk else "cpu" for part in parts}
    with quiet():
        return AutoModelForCausalLM.from_pretrained(
            folder, device_map=device_map | {"model.rotary_emb": "cpu"} if "model.norm" in parts else device_map
        )


def assert_equal(found: Capture, expected: Capture) -> None:
    """Check tokens, attention, predictions and every number of the evidence."""
    assert found.tokens == expected.tokens
    np.testing.assert_array_equal(found.triangles, expected.triangles)
    assert [step.raw.logprob for step in found.steps] == pytest.approx([step.raw.logprob for step in expected.steps])
    ours, theirs = found.evidence, expected.evidence
    assert ours.missing == theirs.missing == {}
    for name in ("value_norms", "rollout"):
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), atol=1e-5)
    for name, scores in theirs.scores.items():
        np.testing.assert_allclose(ours.scores[name], scores, atol=1e-5)
    for name, changes in theirs.ablations.items():
        np.testing.assert_allclose(ours.ablations[name], changes, atol=1e-4)
    assert ours.lens is not None
    assert theirs.lens is not None
    np.testing.assert_allclose(ours.lens.logprobs, theirs.lens.logprobs, atol=1e-4)
    assert ours.attribution is not None
    assert theirs.attribution is not None
    for name in ("heads", "other_parts", "embedding", "biases", "logits", "sources"):
        np.testing.assert_allclose(
            getattr(ours.attribution, name), getattr(theirs.attribution, name), atol=1e-4, err_msg=name
        )


@pytest.mark.parametrize(
    ("name", "make", "parts", "on_disk"),
    [
        ("llama", make_llama, LLAMA, ("model.layers.1", "model.layers.2", "lm_head")),
        ("llama", make_llama, LLAMA, ("model.embed_tokens", "model.norm")),
        ("llama", make_llama, LLAMA, LLAMA),
        ("gpt2", make_gpt2, GPT2, ("transformer.h.0", "transformer.wpe")),
        ("gpt2", make_gpt2, GPT2, GPT2),
    ],
)
def test_spread_model_gives_what_the_whole_one_gives(
    saved: dict[str, Path], name: str, make: Make, parts: tuple[str, ...], on_disk: tuple[str, ...]
) -> None:
    """Generation, attention and all evidence, with beams too; the weights are where they were afterwards."""
    network = load_spread(saved[name], parts, on_disk)
    spread, whole = wrap_model(network, make_tokenizer()), wrap_model(make(), make_tokenizer())
    assert "offloaded" in spread.info.device
    before = spread.info.device
    assert_equal(capture(spread, PROMPT), capture(whole, PROMPT))
    assert _devices_of(network) == before
    beams = replace(PROMPT, generation=Generation(num_beams=3), evidence=())
    assert_equal(capture(spread, beams), capture(whole, beams))


def test_hooks_alone_change_nothing() -> None:
    """As of a model that fits two devices: every part aligns what it is given."""
    hooked = make_llama()
    device_map = dict.fromkeys((*LLAMA, "model.rotary_emb"), "cpu")
    accelerate.dispatch_model(hooked, device_map, main_device="cpu", force_hooks=True)
    assert hasattr(hooked.lm_head, "_hf_hook")
    spread, whole = (wrap_model(network, make_tokenizer()) for network in (hooked, make_llama()))
    assert spread.info.device == "cpu"
    assert_equal(capture(spread, PROMPT), capture(whole, PROMPT))


def test_weights_that_cannot_be_fetched_give_no_evidence() -> None:
    linear = torch.nn.Linear(4, 4, device="meta")
    with pytest.raises(NoEvidence, match="its weights are not in memory"):
        weight_of(linear)


def test_inputs_go_to_the_embedding_and_evidence_to_the_unembedding() -> None:
    """Where a part's weights are elsewhere, its hook says where it computes."""

    def part(device: int | str | None) -> SimpleNamespace:
        hook = SimpleNamespace(execution_device=device)
        return SimpleNamespace(weight=torch.empty(1, device="meta"), _hf_hook=hook)

    def network(first: object, last: object) -> SimpleNamespace:
        return SimpleNamespace(
            get_input_embeddings=lambda: first, get_output_embeddings=lambda: last, device=torch.device("cpu")
        )

    def devices(spread: SimpleNamespace) -> tuple[str, str]:
        return str(input_device(spread)), str(output_device(spread))  # pyright: ignore[reportArgumentType]

    assert devices(network(part("cuda:0"), part("cuda:1"))) == ("cuda:0", "cuda:1")
    assert devices(network(part("cuda:0"), None)) == ("cuda:0", "cuda:0")
    assert devices(network(part(None), None)) == ("cpu", "cpu")
    assert devices(network(torch.nn.Embedding(1, 1), part("cuda:1"))) == ("cpu", "cuda:1")


def test_devices_are_named_in_their_order() -> None:
    weights = [SimpleNamespace(device=torch.device(name)) for name in ("cuda:0", "cuda:0", "cuda:1", "meta", "cpu")]
    network = SimpleNamespace(parameters=lambda: weights)
    assert _devices_of(network) == "cuda:0, cuda:1, offloaded, cpu"  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("device_map", ["auto", "balanced", "sequential"])
def test_map_on_a_machine_without_accelerators_is_the_processor(
    saved: dict[str, Path], device_map: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The network is never moved again."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(PreTrainedModel, "to", lambda *_, **__: pytest.fail("it was moved"))
    loaded = load_model(str(saved["llama"]), device_map=device_map)
    assert (loaded.info.device, loaded.info.dtype) == ("cpu", "float32")
    assert_equal(capture(loaded, PROMPT), capture(wrap_model(make_llama(), make_tokenizer()), PROMPT))
    assert capfd.readouterr() == ("", "")


def test_model_larger_than_memory_is_left_on_the_disk(
    saved: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """accelerate is told that there is little memory; the page says where the weights are."""
    monkeypatch.setattr("transformers.integrations.accelerate.get_max_memory", lambda *_: {"cpu": 40_000})
    prompt = replace(PROMPT, model=str(saved["llama"]), slug="cat")
    outcome = build_site([prompt], tmp_path, BuildOptions(device_map="auto"))
    assert outcome.failures == ()
    assert "float32 on cpu, offloaded" in parse_html((tmp_path / "cat.html").read_text("utf-8")).text
    assert capfd.readouterr() == ("", "")


def test_adapter_is_merged_into_a_spread_model(saved: dict[str, Path], tmp_path: Path) -> None:
    """Not where weights are left on the disk: there is nothing to merge into."""
    expected = save_adapter(tmp_path, make_llama())
    hooked = make_llama()
    device_map = dict.fromkeys((*LLAMA, "model.rotary_emb"), "cpu")
    accelerate.dispatch_model(hooked, device_map, main_device="cpu", force_hooks=True)
    merged = wrap_model(merge_adapter(hooked, str(tmp_path), "m"), make_tokenizer())
    assert_equal(capture(merged, PROMPT), capture(wrap_model(expected, make_tokenizer()), PROMPT))
    network = load_spread(saved["llama"], LLAMA, ("model.layers.1",))
    with pytest.raises(ModelError, match="on model 'm': the model does not fit the devices, and an adapter cannot be"):
        merge_adapter(network, str(tmp_path), "m")


def test_wrong_map_is_reported(saved: dict[str, Path]) -> None:
    with pytest.raises(ModelError, match="^unknown device map 'all'; write auto, balanced, sequential"):
        load_model(str(saved["llama"]), device_map="all")
    with pytest.raises(ModelError, match="^device 'cpu': the device map 'auto' uses all devices; keep one"):
        check_settings("cpu", "auto", "auto")
    error = ValueError("The current `device_map` had weights offloaded to the disk. Please provide an `offload_folder`")
    with pytest.raises(ModelError, match="^model 'm': it does not fit the devices and the memory together"):
        raise explain(error, "m", "weights")
