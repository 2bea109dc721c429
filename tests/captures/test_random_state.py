"""The random state of the caller, which a run leaves as it found it, on every device."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from reportgen.captures import generation
from reportgen.captures.generation import _seeded
from reportgen.models.model import LoadedModel


def test_the_state_of_the_processor_is_the_callers(tiny_llama: LoadedModel) -> None:
    torch.manual_seed(11)
    before = torch.get_rng_state()
    with _seeded(tiny_llama.network, 3):
        inside = torch.rand(4)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(3)
    assert torch.equal(torch.rand(4), inside)
    torch.set_rng_state(before)
    with pytest.raises(RuntimeError, match="within"), _seeded(tiny_llama.network, 3):
        torch.rand(4)
        raise RuntimeError("within")
    assert torch.equal(torch.get_rng_state(), before)


def test_devices_of_other_networks_are_not_seeded(tiny_llama: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """``torch.manual_seed`` would seed CUDA for when it is first used, and Metal at once."""
    seeded: list[object] = []
    for function in ("torch.manual_seed", "torch.cuda.manual_seed_all", "torch.mps.manual_seed"):
        monkeypatch.setattr(function, seeded.append)
    with _seeded(tiny_llama.network, 3):
        pass
    assert seeded == []


def test_cuda_that_is_first_used_inside_starts_again(tiny_llama: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    used = iter([False, True])
    seeded: list[int] = []
    monkeypatch.setattr("torch.cuda.is_initialized", lambda: next(used))
    monkeypatch.setattr("torch.cuda.initial_seed", lambda: 77)
    monkeypatch.setattr("torch.cuda.manual_seed_all", seeded.append)
    with _seeded(tiny_llama.network, 3):
        pass
    assert seeded == [77]


@pytest.mark.parametrize("names", [("mps",), ("cuda:0", "cuda:1"), ("xpu:0",)])
def test_the_state_of_every_device_of_the_network_is_the_callers(
    tiny_llama: LoadedModel, monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...]
) -> None:
    """The generators of this machine stand for those of its devices; Metal's functions take no device."""
    devices = [torch.device(name) for name in names]
    generators = {device: torch.Generator().manual_seed(5 + number) for number, device in enumerate(devices)}
    before = {device: generator.get_state() for device, generator in generators.items()}
    module = SimpleNamespace(
        get_rng_state=lambda device=devices[0]: generators[device].get_state(),
        set_rng_state=lambda state, device=devices[0]: generators[device].set_state(state),
    )
    make = torch.Generator
    monkeypatch.setattr("torch.get_device_module", lambda _: module)
    monkeypatch.setattr("torch.Generator", lambda _=None: make())
    monkeypatch.setattr(generation, "_devices_of", lambda _: set(devices))
    with _seeded(tiny_llama.network, 3):
        inside = [torch.rand(2, generator=generators[device]) for device in devices]
    assert all(torch.equal(numbers, torch.rand(2, generator=make().manual_seed(3))) for numbers in inside)
    assert all(torch.equal(generators[device].get_state(), state) for device, state in before.items())


def test_devices_are_those_of_weights_and_those_that_weights_are_loaded_to(tiny_llama: LoadedModel) -> None:
    network = tiny_llama.network
    assert generation._devices_of(network) == {torch.device("cpu")}
    network._hf_hook = SimpleNamespace(execution_device="cuda:3")
    try:
        assert generation._devices_of(network) == {torch.device("cpu"), torch.device("cuda:3")}
    finally:
        del network._hf_hook
