"""Whether a prompt fits, told before anything is run."""

from __future__ import annotations

import copy
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from reportgen.build.capture import capture
from reportgen.captures.attention import count_bytes
from reportgen.captures.collector import CollectorInput
from reportgen.captures.tokenization import check_memory, encode_prompt
from reportgen.evidence.collectors.rollout import RolloutCollector
from reportgen.evidence.collectors.scores import ScoresCollector
from reportgen.evidence.evidence_collector import EvidenceCollector
from reportgen.evidence.traced_run import TracedRun
from reportgen.instrumentation.strategy import find_strategy
from reportgen.models.model import LoadedModel
from reportgen.records import Prompt, SourceLocation
from reportgen.records.errors import NotEnoughMemory, PromptError

PROMPT = Prompt(text="abc", place=SourceLocation("prompts.yaml", 3, {"text": 4}))


def leave_free(monkeypatch: pytest.MonkeyPatch, num_bytes: int) -> None:
    memory = SimpleNamespace(available=num_bytes)
    monkeypatch.setattr("psutil.virtual_memory", lambda: memory)


def test_bytes_of_a_capture_and_its_page() -> None:
    """SmolLM2's 30 × 9 heads at 2,048 tokens: two bytes for each weight, then one for each on the page."""
    cells = 270 * 2048 * 2049 // 2
    assert count_bytes(2048, 30, 9, fast=True) == 3 * cells
    assert count_bytes(2048, 10, 9, fast=True) == cells
    assert count_bytes(4096, 30, 9, fast=True) == 2 * (270 * 4096 * 4097 // 2)  # kept with one byte each


def test_eager_attention_holds_a_whole_layer_besides() -> None:
    whole = 3 * 4 * 9 * 2048 * 2048
    assert count_bytes(2048, 1, 9, fast=False) == 2 * 9 * 2048 * 2049 // 2 + whole


def test_what_does_not_fit_says_what_it_takes_and_what_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    leave_free(monkeypatch, 1_500_000_000)
    with pytest.raises(
        NotEnoughMemory,
        match=r"^prompts.yaml:4: attention of 30 layers × 9 heads over 2048 tokens takes about 1.7 GB, and 1.5 GB are "
        r"free; select fewer layers or heads, or shorten the text$",
    ):
        check_memory(PROMPT, 2048, 30, 9, fast=True)
    check_memory(PROMPT, 2048, 10, 9, fast=True)


def test_nothing_is_run_for_it(tiny_llama: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even a token is generated; the prompt fails, and a run goes on."""
    capture(tiny_llama, PROMPT)  # finds out how this network is watched
    leave_free(monkeypatch, 100)
    monkeypatch.setattr(tiny_llama.network, "generate", lambda **_: pytest.fail("it was run"))
    with pytest.raises(NotEnoughMemory) as told:
        capture(tiny_llama, PROMPT)
    assert isinstance(told.value, PromptError)


@pytest.mark.parametrize("names", [("rag",), ("rag", "tool_use")])
def test_named_templates_without_a_default_are_said(names: tuple[str, ...], tiny_llama: LoadedModel) -> None:
    tokenizer = copy.deepcopy(tiny_llama.tokenizer)
    tokenizer.chat_template = dict.fromkeys(names, "{{ messages[0]['content'] }}")
    model = replace(tiny_llama, tokenizer=tokenizer)
    prompt = Prompt(messages=[{"role": "user", "content": "Hi"}])  # pyright: ignore[reportArgumentType]
    error = encode_prompt(model, prompt).error
    assert f"tiny-llama has chat templates of the names {', '.join(names)}, and none is named 'default'" in str(error)
    tokenizer.chat_template["default"] = "{{ messages[0]['content'] }}"  # pyright: ignore
    assert len(encode_prompt(model, prompt).token_ids) == 2


def test_bytes_of_evidence() -> None:
    """Rollout holds three matrices of numbers, however many layers there are; scores hold the pairs of equal tokens."""
    different, equal = list(range(1000)), [7] * 1000
    rollout = 4 * 3 * 1000**2
    assert EvidenceCollector.count_bytes(different, 1000, 30) == rollout + 2 * 1000**2
    pairs = 1000 * 999 // 2
    assert EvidenceCollector.count_bytes(equal, 1000, 30) == rollout + 2 * 1000**2 + 32 * pairs
    assert EvidenceCollector.count_bytes(different[:999], 1000, 30) == rollout + 2 * 1000**2 + 32 * 999


def test_evidence_takes_what_is_counted(tiny_llama: LoadedModel) -> None:
    """The tensors that rollout and scores hold during the pass are no larger than what was counted for them."""
    token_ids = [5] * 300
    network = tiny_llama.network
    given = CollectorInput(network, token_ids, range(3), range(4), torch.zeros(0, 0, dtype=torch.long))
    rollout, scores = RolloutCollector(TracedRun(given)), ScoresCollector(TracedRun(given))
    for layer in range(3):
        rollout.add(layer, 0, torch.full((4, 300, 300), 1 / 300))
    held = [{**rollout._means, -1: rollout._product}, scores._measurer.duplicates, scores._measurer.inductions]
    tensors = [*held[0].values(), *held[1:]]  # pyright: ignore[reportAttributeAccessIssue]
    assert 3 * 4 * 300**2 < sum(tensor.nbytes for tensor in tensors) <= EvidenceCollector.count_bytes(token_ids, 300, 3)


def test_evidence_counts_before_the_run(tiny_llama: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    prompt = Prompt(text="abcd" * 100, max_new_tokens=0)
    attention = count_bytes(401, 3, 4, fast=True)  # with the token that would be next
    evidence = EvidenceCollector.count_bytes([*range(4)] * 100, 401, 3)
    find_strategy(tiny_llama.network)  # its test on a few tokens comes first
    leave_free(monkeypatch, attention + evidence // 2)
    with monkeypatch.context() as patched, pytest.raises(NotEnoughMemory, match="over 401 .* its evidence take about"):
        patched.setattr(tiny_llama.network, "forward", lambda *_, **__: pytest.fail("it was run"))
        capture(tiny_llama, prompt)
    leave_free(monkeypatch, attention + 2 * evidence)
    assert capture(tiny_llama, prompt).num_tokens == 401
