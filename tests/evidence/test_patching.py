"""Activation patching: everything together gives the other run, and each patch equals a plain loop of hooks."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

import numpy as np
import pytest
import torch
from families import FAMILIES, MIXED, make_network
from tiny import make_gpt2, make_llama
from torch import nn
from transformers import PreTrainedModel

from reportgen.evidence.collectors.patching import Patcher, Places, join
from reportgen.evidence.kinds.patching import Patching
from reportgen.records import Token
from reportgen.records.errors import NoEvidence

A, B = [40, 50, 60, 70, 80, 41], [40, 50, 61, 70, 80, 41]
LONGER = [90, 91, 40, 50, 60, 70, 80, 41]
ANSWERS = (7, 9)
WHOLE = Places(0, 0, 6, first_unlike=2)
TOKENS = Token(7, "a", "a"), Token(9, "b", "b")


def measure(network: PreTrainedModel, first: list[int] = A, places: Places = WHOLE, second: list[int] = B) -> Patching:
    patchers = Patcher(network, first, ANSWERS), Patcher(network, second, ANSWERS)
    back = Places(places.changed, places.given, places.length, places.first_unlike)
    shifts = patchers[1].patch(patchers[0].recorded, places), patchers[0].patch(patchers[1].recorded, back)
    return join(patchers[0].recorded, (patchers[0].difference, patchers[1].difference), shifts, places, TOKENS)


def run(network: PreTrainedModel, token_ids: list[int], hooks: Callable[[ExitStack], object] = lambda _: None) -> float:
    """Return the logit of the first answer minus that of the second, in one plain pass."""
    with torch.inference_mode(), ExitStack() as stack:
        hooks(stack)
        logits = network(torch.tensor([token_ids])).logits[0, -1]
    return float(logits[ANSWERS[0]] - logits[ANSWERS[1]])


def hook_loop(network: PreTrainedModel, module: nn.Module, places: Places, size: slice, first: list[int]) -> float:
    """Record the input of a module on A, put a slice of it into B, and return the share: the definition."""
    kept: list[torch.Tensor] = []

    def record(_: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        kept.append(given[0].clone())

    def change(_: nn.Module, given: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        changed = given[0].clone()
        into, out = (slice(start, start + places.length) for start in (places.changed, places.given))
        changed[0, into, size] = kept[0][0, out, size]
        return changed, *given[1:]

    def hooking(hook: Callable[..., object]) -> Callable[[ExitStack], object]:
        return lambda stack: stack.callback(module.register_forward_pre_hook(hook).remove)

    ours, theirs = run(network, first, hooking(record)), run(network, B)
    return (run(network, B, hooking(change)) - theirs) / (ours - theirs)


@pytest.mark.parametrize("family", sorted(FAMILIES.keys() - MIXED))
def test_embedding_heads_and_mlps_together_give_the_other_run(family: str) -> None:
    network = make_network(family)
    patcher = Patcher(network, A, ANSWERS)
    with torch.inference_mode():
        ours, theirs = (network(torch.tensor([token_ids])).logits[0] for token_ids in (A, B))
    assert (ours - theirs).abs().max() > 1e-2
    torch.testing.assert_close(patcher.put_all(B), ours, atol=1e-4, rtol=1e-4)
    found = Patcher(network, B, ANSWERS).patch(patcher.recorded, WHOLE)
    whole = patcher.difference - run(network, B)
    assert found.stream[0, 2] == pytest.approx(whole, abs=1e-3)  # the one token that differs
    assert not found.stream[:, :2].any()  # before it
    assert not found.stream[0, 3:].any()  # the embeddings of equal tokens
    assert np.abs(found.heads).max() > 1e-4


LAYERS = {
    "gpt2": lambda network: [(block, block.attn.c_proj) for block in network.transformer.h],
    "llama": lambda network: [(block, block.self_attn.o_proj) for block in network.model.layers],
    "gemma2": lambda network: [(block, block.self_attn.o_proj) for block in network.model.layers],
}


@pytest.mark.parametrize("family", LAYERS)
@pytest.mark.parametrize("first", [A, LONGER], ids=["equal length", "aligned at the end"])
def test_patches_equal_a_plain_loop_of_hooks_at_random_places(family: str, first: list[int]) -> None:
    network, start = make_network(family), len(first) - len(B)
    places = Places(start, 0, 6, first_unlike=0 if start else 2)
    found = measure(network, first, places)
    draws = np.random.default_rng(3)
    for _ in range(20):
        layer, head, place = (int(draws.integers(count)) for count in (2, 4, 6))
        block, projection = LAYERS[family](network)[layer]
        size = projection.weight.shape[0 if family == "gpt2" else 1] // 4
        own = slice(head * size, (head + 1) * size)
        alone = Places(start + place, place, 1)
        for shares, module, where, part in (
            (found.heads[0, layer, head], projection, places, own),
            (found.last[0, layer, head], projection, Places(start + 5, 5, 1), own),
            (found.stream[0, layer, place], block, alone, slice(None)),
        ):
            assert shares == pytest.approx(hook_loop(network, module, where, part, first), abs=1e-4)


def test_directions_are_those_of_the_runs() -> None:
    """What A does to B is what B does to A once the runs change places."""
    network = make_llama()
    found = measure(network)
    turned = measure(network, second=A, first=B)
    assert turned.heads == pytest.approx(found.heads[::-1], abs=1e-5)
    assert turned.difference == pytest.approx(-found.difference)


def test_a_run_patched_with_itself_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    patcher = Patcher(make_llama(), A, ANSWERS)
    found = patcher.patch(patcher.recorded, Places(0, 0, 6))
    assert not found.heads.any()
    assert not found.last.any()
    assert not found.stream.any()
    monkeypatch.setattr(Patcher, "_find_unlike_heads", lambda *_: np.ones((3, 4), bool))
    assert patcher.patch(patcher.recorded, Places(0, 0, 6)).heads == pytest.approx(np.zeros((3, 4)), abs=1e-5)


def test_progress_is_told_of_all_patches_together() -> None:
    network, said = make_llama(), []
    given = Patcher(network, A, ANSWERS).recorded
    Patcher(network, B, ANSWERS).patch(given, WHOLE, lambda *state: said.append(state))
    totals = {total for _, total, _ in said}
    assert len(totals) == 1
    assert [done for done, _, _ in said] == sorted(done for done, _, _ in said)
    assert said[-1][0] == totals.pop()
    assert said[-1][2] == 0


def test_what_cannot_be_patched_is_refused_with_a_reason() -> None:
    with pytest.raises(NoEvidence, match="mixed with one another"):
        Patcher(make_network("diffllama"), A, ANSWERS)
    with pytest.raises(NoEvidence, match="differ in shape"):
        Patcher(make_gpt2(), A, ANSWERS).patch(Patcher(make_llama(), A, ANSWERS).recorded, WHOLE)
    with pytest.raises(NoEvidence, match="prefer one answer to the other by nearly the same"):
        measure(make_llama(), B, Places(0, 0, 6))
    with pytest.raises(NoEvidence, match="do not give its logits in another run"):
        Patcher(make_network("hy_v4"), A, ANSWERS)  # its streams are several


def test_the_network_is_left_as_it_was() -> None:
    network = make_llama()
    measure(network)
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in network.modules())


def test_table_has_a_row_for_each_patch() -> None:
    found = measure(make_llama())
    rows = list(found.tabulate())
    assert len(rows) == 2 * (12 + 12 + 3 * 6)
    row = next(row for row in rows if (row["into"], row["layer"], row["head"]) == ("A", 1, 2))
    assert row["share"] == pytest.approx(found.heads[1, 1, 2])
    assert row["change"] == pytest.approx(-found.heads[1, 1, 2] * found.difference)
