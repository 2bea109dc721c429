"""What the config of a model says: whether its attention can be captured, and the facts that a page states."""

from __future__ import annotations

from typing import Any

from transformers import PretrainedConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
)
from transformers.quantizers.auto import AUTO_QUANTIZATION_CONFIG_MAPPING

from reportgen.records import ModelInfo
from reportgen.records.errors import UnsupportedModel

_ENCODER = "an encoder, whose tokens also attend to later ones"
_UNLIKE = {
    "ngram": "a model that predicts several tokens at once, from streams beside the one whose weights could be shown",
    "lsh_attn_chunk_length": "a model that looks at chunks of the text, so that its weights are no table of all tokens",
}
"""Keys that only models have whose weights are not what a page shows, and what such a model is."""

_CONTEXT = ("max_position_embeddings", "n_positions", "max_seq_len")


def architecture_of(config: PretrainedConfig) -> str:
    """Return the class name of the causal language model that transformers makes of a config."""
    known = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(config.model_type)
    return known or (getattr(config, "architectures", None) or [type(config).__name__])[0]


def check_loadable(config: PretrainedConfig, name: str) -> None:
    """Raise unless transformers, or the model's own code, has a causal language model for a config.

    Raises:
        UnsupportedModel: it has none.
    """
    own_code = getattr(config, "auto_map", None) or {}
    if config.model_type not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and "AutoModelForCausalLM" not in own_code:
        raise UnsupportedModel(
            f"model {name!r}: {architecture_of(config)} is not a causal language model; take one that generates text"
        )


def check_attention(config: PretrainedConfig, name: str) -> None:
    """Raise unless a config describes causal attention with heads.

    Raises:
        UnsupportedModel: an encoder, an encoder-decoder, or a model without attention heads.
    """
    # The class that the checkpoint names tells the user more than the decoder that could be made of it.
    architecture = (getattr(config, "architectures", None) or [architecture_of(config)])[0]
    unlike = next((what for key, what in _UNLIKE.items() if hasattr(config, key)), None)
    if (config.model_type, getattr(config, "attention_type", None)) == ("big_bird", "block_sparse"):
        unlike = "a model that looks at some blocks of a text, chosen at random; set attention_type to original_full"
    if config.is_encoder_decoder:
        problem = "an encoder-decoder, whose tokens also attend to a second text"
    elif _is_encoder(config):
        problem = _ENCODER
    elif unlike is not None:
        problem = unlike
    elif _is_drafter(_text_config(config)):
        problem = "a drafter, whose layers all read the keys of another model"
    elif _count(_text_config(config), "num_attention_heads") is None:
        problem = f"a {config.model_type} model, whose config names no attention heads"
    else:
        return
    raise _unsupported(name, architecture, problem)


def check_causal(network: PreTrainedModel, name: str) -> None:
    """Raise where attention modules say what their config does not: that tokens attend to later ones.

    Raises:
        UnsupportedModel: none of them that tells is causal, and the config does not say that it is a decoder.
    """
    flags = [flag for module in network.modules() if isinstance(flag := getattr(module, "is_causal", None), bool)]
    if flags and not any(flags) and getattr(network.config, "is_decoder", None) is False:
        raise _unsupported(name, type(network).__name__, _ENCODER)


def _unsupported(name: str, architecture: str, problem: str) -> UnsupportedModel:
    return UnsupportedModel(f"model {name!r}: {architecture} is {problem}; take a decoder such as GPT-2 or Llama")


def check_quantisation(config: PretrainedConfig, name: str) -> None:
    """Raise where transformers does not know how a config's weights are quantised: it would take them as they are.

    Raises:
        UnsupportedModel: it does not.
    """
    given: Any = getattr(config, "quantization_config", None)
    values = given if isinstance(given, dict | None) else given.to_dict()
    if values is None or values.get("load_in_8bit") or values.get("load_in_4bit"):
        return
    method = values.get("quant_method")
    if method not in AUTO_QUANTIZATION_CONFIG_MAPPING:
        raise UnsupportedModel(
            f"model {name!r}: its weights are quantised by {method!r}, which this transformers does not know; a newer "
            "one may, or take the model in full precision"
        )


def describe_config(config: PretrainedConfig, name: str, revision: str = "") -> ModelInfo:
    """Return what a config that passed ``check_attention`` tells of its model.

    A model whose layers differ in their heads is described by the widest one.
    """
    text = _text_config(config)
    num_heads = _count(text, "num_attention_heads") or 0
    contexts = (_count(text, key) for key in _CONTEXT)
    return ModelInfo(
        name=name,
        revision=revision,
        architecture=architecture_of(config),
        num_layers=_count(text, "num_hidden_layers") or 0,
        num_heads=num_heads,
        num_kv_heads=_num_kv_heads(text) or num_heads,
        context_window=next((length for length in contexts if length), None),
    )


def _text_config(config: PretrainedConfig) -> PretrainedConfig:
    return config.get_text_config(decoder=True)


def _is_encoder(config: PretrainedConfig) -> bool:
    # is_decoder alone does not tell: GPT-NeoX, a decoder, carries it as False too.
    if getattr(config, "attn_type", None) == "bi":  # XLNet's
        return True
    flags = (getattr(config, flag, None) for flag in ("is_decoder", "causal"))
    return config.model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES and any(flag is False for flag in flags)


def _is_drafter(text: PretrainedConfig) -> bool:
    """Gemma's assistants compute no keys; they read those of the model that they draft for."""
    shared = getattr(text, "num_kv_shared_layers", None)
    return bool(shared) and shared == _count(text, "num_hidden_layers")


def _num_kv_heads(text: PretrainedConfig) -> int | None:
    # Falcon keeps the count in num_kv_heads, which its first generation ignores in favour of one shared head.
    if getattr(text, "multi_query", False) and not getattr(text, "new_decoder_architecture", False):
        return 1
    return _count(text, "num_key_value_heads") or _count(text, "num_kv_heads")


def _count(text: PretrainedConfig, key: str) -> int | None:
    """Return a positive count, the largest one where it differs by layer, or ``None`` where there is none."""
    try:
        value: Any = getattr(text, key, None)
    except RuntimeError:  # transformers refuses to read a key that differs by layer from the whole
        value = [getattr(layer, key, None) for layer in text.per_layer_config]
    values = value if isinstance(value, list | tuple) else [value]
    return max((item for item in values if isinstance(item, int) and item > 0), default=None)
