"""Memory of a capture, by the tensors that are alive at a time."""

from __future__ import annotations

import weakref
from typing import Any

import pytest
import torch
from tiny import make_llama, make_tokenizer
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from reportgen.captures import capture as captures
from reportgen.captures.record import ONE_PASS, SECOND_PASS
from reportgen.evidence.evidence_collector import EvidenceCollector
from reportgen.instrumentation import showing
from reportgen.models.model import LoadedModel, wrap_model
from reportgen.records import Prompt
from reportgen.records.choices import USUAL_EVIDENCE

BLOCK = 1 << 13
STEPS = 4


class LiveTensors(TorchDispatchMode):
    """Counts the bytes of all tensors that were made inside a ``with`` block and still exist.

    Attributes:
        now: bytes of the tensors that exist.
        peak: the most of them at a time.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for one in result if isinstance(result, tuple | list) else (result,):
            if not isinstance(one, torch.Tensor) or one.untyped_storage()._cdata in self._known:
                continue
            given = (part for part in tree_leaves((args, kwargs)) if isinstance(part, torch.Tensor))
            if all(one.untyped_storage()._cdata != part.untyped_storage()._cdata for part in given):
                self._add(one.untyped_storage())
        return result

    def _add(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        self._known.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._remove, key, size)

    def _remove(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return wrap_model(make_llama(), make_tokenizer(), name="tiny")


def measure(model: LoadedModel, length: int, *, one_pass: bool = True, without: tuple[str, ...] = ()) -> int:
    """Return the peak of a capture of so many tokens, in bytes."""
    text = "The cat ate the mat. " * length
    prompt = Prompt(text=text[: length - STEPS], max_new_tokens=STEPS, without=without)
    encoded = captures.encode_prompt(model, prompt)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(showing, "_CELLS", BLOCK)
        if not one_pass:
            usual = captures.generate
            patch.setattr(captures, "generate", lambda *args, **named: usual(*args, **{**named, "recorded": False}))
        with LiveTensors() as live:
            (made,) = captures.capture_in_turn(model, [encoded], EvidenceCollector)
    assert isinstance(made, captures.Capture)
    assert (made.strategy, made.num_tokens) == (ONE_PASS if one_pass else SECOND_PASS, length)
    return live.peak


def test_counter_knows_what_is_alive() -> None:
    with LiveTensors() as live:
        first = torch.zeros(1000)
        part = first[10:20]
        second = first + 1
        del first
        assert live.now == 8000  # the part keeps the whole
        del part, second
        assert live.now == 0
    assert live.peak == 8000


WITHOUT = tuple(name for name in USUAL_EVIDENCE if name != "entropy")
"""What needs a square of its own, or keeps much of each step."""


def test_weights_of_a_layer_are_never_in_memory_at_once(model: LoadedModel) -> None:
    """In one pass as in a second one; what one pass holds beyond it are queries, keys and values of all layers."""
    of_a_layer = 4 * 4 * 200**2  # float32, heads, cells
    recorded = 4 * 3 * (4 + 2 * 2) * 4  # float32, layers, heads with key/value heads, size; for each token
    peaks = [[measure(model, length, one_pass=one_pass, without=WITHOUT) for one_pass in (True, False)]
             for length in (100, 200)]  # fmt: skip
    assert all(4 * BLOCK < peak < of_a_layer / 2 for peak in peaks[1])
    (one_100, second_100), (one_200, second_200) = peaks
    assert (one_200 - second_200) - (one_100 - second_100) <= 1.1 * recorded * 100


def test_one_pass_with_all_evidence_takes_no_more_than_a_second_one(model: LoadedModel) -> None:
    assert measure(model, 150) <= 1.1 * measure(model, 150, one_pass=False)


def test_rollout_holds_three_squares_whatever_the_number_of_layers() -> None:
    from families import make_network

    network = make_network("llama", num_hidden_layers=9)
    deep = wrap_model(network, make_tokenizer(), name="deep")
    bare, rolled = (
        measure(deep, 120, without=tuple(name for name in WITHOUT if name != kept)) for kept in ("", "rollout")
    )
    assert rolled - bare < 3.5 * 4 * 120**2


def test_nothing_is_left_after_a_capture(model: LoadedModel) -> None:
    prompt = captures.encode_prompt(model, Prompt(text="The cat ate", max_new_tokens=STEPS))
    with LiveTensors() as live:
        made = [*captures.capture_in_turn(model, [prompt], EvidenceCollector)]
        held = live.now
        del made
    assert held < 20_000
