"""A network that was changed in place is looked at again."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from tiny import make_llama, make_tokenizer
from transformers import PreTrainedModel

from reportgen.build.capture import capture
from reportgen.instrumentation import strategy
from reportgen.instrumentation.anatomy import find_attention, find_layers
from reportgen.instrumentation.strategy import find_strategy
from reportgen.models.model import wrap_model
from reportgen.records import Prompt

PROMPT = Prompt(text="The cat sat on the mat", max_new_tokens=2)


def scale_in_place(network: PreTrainedModel) -> None:
    with torch.no_grad():
        network.lm_head.weight.mul_(1.5)


def scale_data(network: PreTrainedModel) -> None:
    network.lm_head.weight.data.mul_(1.5)


def replace_weight(network: PreTrainedModel) -> None:
    network.lm_head.weight = torch.nn.Parameter(network.lm_head.weight.detach() * 1.5)


def replace_data(network: PreTrainedModel) -> None:
    network.lm_head.weight.data = network.lm_head.weight.data * 1.5


def drop_a_layer(network: PreTrainedModel) -> None:
    network.model.layers = network.model.layers[:2]


CHANGES = (scale_in_place, scale_data, replace_weight, replace_data, drop_a_layer)


@pytest.mark.parametrize("change", CHANGES)
def test_the_strategy_is_found_anew(change: Callable[[PreTrainedModel], None], monkeypatch: pytest.MonkeyPatch) -> None:
    network, found = make_llama(), []
    usual = strategy._find_strategy
    monkeypatch.setattr(strategy, "_find_strategy", lambda network: found.append(1) or usual(network))
    find_strategy(network)
    find_strategy(network)
    assert len(found) == 1
    change(network)
    find_strategy(network)
    find_strategy(network)
    assert len(found) == 2


def test_layers_that_were_replaced_are_found() -> None:
    network, other = make_llama(), make_llama(1)
    assert len(find_layers(network)) == 3
    network.model.layers[1] = other.model.layers[1]
    assert find_layers(network)[1] is other.model.layers[1]
    assert dict(find_attention(network))[1] is other.model.layers[1].self_attn
    drop_a_layer(network)
    assert (len(find_layers(network)), len(find_attention(network))) == (2, 2)


@pytest.mark.parametrize("change", CHANGES[:-1])
def test_evidence_is_that_of_the_weights_as_they_are(change: Callable[[PreTrainedModel], None]) -> None:
    """A changed network gives what another network of the same weights gives, the mean of its unembedding included."""
    changed, fresh = make_llama(), make_llama()
    used = wrap_model(changed, make_tokenizer(), name="tiny")
    before = capture(used, PROMPT)
    change(changed)
    change(fresh)
    after = capture(used, PROMPT)
    assert after == capture(wrap_model(fresh, make_tokenizer(), name="tiny"), PROMPT)
    assert after.evidence.attribution != before.evidence.attribution
