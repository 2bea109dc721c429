"""Read a model's config: check that its attention can be captured, and collect the facts that a page states."""

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
_UNSUPPORTED_KEYS = {
    "ngram": "a model that predicts several tokens at once, from extra streams whose weights cannot be shown",
    "lsh_attn_chunk_length": "a model that attends within chunks, so its weights do not form a matrix over all tokens",
}
"""Config keys that only models with unsupported attention have, and the reason why each is unsupported."""

_CONTEXT = ("max_position_embeddings", "n_positions", "max_seq_len")


def architecture_of(config: PretrainedConfig) -> str:
    """Return the name of the causal language model class that transformers uses for a config."""
    known = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(config.model_type)
    return known or (getattr(config, "architectures", None) or [type(config).__name__])[0]


def check_loadable(config: PretrainedConfig, name: str) -> None:
    """Check that transformers, or the model's own code, has a causal language model class for a config.

    Raises:
        UnsupportedModel: there is no such class.
    """
    own_code = getattr(config, "auto_map", None) or {}
    if config.model_type not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and "AutoModelForCausalLM" not in own_code:
        raise UnsupportedModel(
            f"model {name!r}: {architecture_of(config)} is not a causal language model; take one that generates text"
        )


def check_attention(config: PretrainedConfig, name: str) -> None:
    """Check that a config describes causal attention with heads.

    Raises:
        UnsupportedModel: the model is an encoder, an encoder-decoder, or a model without attention heads.
    """
    # The class named in the checkpoint tells the user more than the decoder class that could load it.
    architecture = (getattr(config, "architectures", None) or [architecture_of(config)])[0]
    reason = next((reason for key, reason in _UNSUPPORTED_KEYS.items() if hasattr(config, key)), None)
    if (config.model_type, getattr(config, "attention_type", None)) == ("big_bird", "block_sparse"):
        reason = "a model that attends to randomly chosen blocks of the text; set attention_type to original_full"
    if config.is_encoder_decoder:
        problem = "an encoder-decoder, whose tokens also attend to a second text"
    elif _is_encoder(config):
        problem = _ENCODER
    elif reason is not None:
        problem = reason
    elif _is_drafter(_text_config(config)):
        problem = "a draft model, whose layers all read the keys of another model"
    elif _count(_text_config(config), "num_attention_heads") is None:
        problem = f"a {config.model_type} model, whose config names no attention heads"
    else:
        return
    raise _unsupported(name, architecture, problem)


def check_causal(network: PreTrainedModel, name: str) -> None:
    """Check that the attention modules of a network are causal, in case its config does not say so.

    Raises:
        UnsupportedModel: no module with a flag ``is_causal`` has it set, and the config says that it is no decoder.
    """
    flags = [flag for module in network.modules() if isinstance(flag := getattr(module, "is_causal", None), bool)]
    if flags and not any(flags) and getattr(network.config, "is_decoder", None) is False:
        raise _unsupported(name, type(network).__name__, _ENCODER)


def _unsupported(name: str, architecture: str, problem: str) -> UnsupportedModel:
    return UnsupportedModel(f"model {name!r}: {architecture} is {problem}; take a decoder such as GPT-2 or Llama")


def check_quantisation(config: PretrainedConfig, name: str) -> None:
    """Check that transformers supports the quantisation method in a config; it would use the raw values otherwise.

    Raises:
        UnsupportedModel: the method is unknown.
    """
    settings: Any = getattr(config, "quantization_config", None)
    values = settings if isinstance(settings, dict | None) else settings.to_dict()
    if values is None or values.get("load_in_8bit") or values.get("load_in_4bit"):
        return
    method = values.get("quant_method")
    if method not in AUTO_QUANTIZATION_CONFIG_MAPPING:
        raise UnsupportedModel(
            f"model {name!r}: its weights are quantised by {method!r}, which this transformers does not know; a newer "
            "version may, or take the model in full precision"
        )


def describe_config(config: PretrainedConfig, name: str, revision: str = "") -> ModelInfo:
    """Return the facts about a model in its config, which must have passed ``check_attention``.

    If layers have different numbers of heads, the largest number is returned.
    """
    text = _text_config(config)
    num_heads = _count(text, "num_attention_heads") or 0
    return ModelInfo(
        name=name,
        revision=revision,
        architecture=architecture_of(config),
        num_layers=_count(text, "num_hidden_layers") or 0,
        num_heads=num_heads,
        num_kv_heads=_num_kv_heads(text) or num_heads,
        context_window=_context_window(text),
    )


def find_rope_switch(config: PretrainedConfig) -> int | None:
    """Return the text length above which rotary positions depend on the length; ``None`` if they never do.

    Above it, dynamic scaling changes the frequencies with each length, and long rope uses a second set of them.
    """
    text = _text_config(config)
    lengths = [rope.get("original_max_position_embeddings") for rope in _ropes(text, "longrope", "dynamic")]
    lengths += [_count(text, key) for key in ("original_max_position_embeddings", *_CONTEXT)] if lengths else []
    return min((length for length in lengths if isinstance(length, int) and length > 0), default=None)


def _context_window(text: PretrainedConfig) -> int | None:
    """Return the maximum number of positions; some configs state it before yarn or dynamic scaling extends it."""
    window = next((length for key in _CONTEXT if (length := _count(text, key))), None)
    scaled = [
        int((rope.get("original_max_position_embeddings") or window or 0) * (rope.get("factor") or 1))
        for rope in _ropes(text, "yarn", "dynamic")
    ]
    return max((length for length in (window, *scaled) if length), default=None)


def _ropes(text: PretrainedConfig, *types: str) -> list[dict[str, Any]]:
    """Return the settings of rotary positions that have one of these types; layers can have different ones."""
    given: Any = getattr(text, "rope_parameters", None) or getattr(text, "rope_scaling", None) or {}
    ropes = [given, *given.values()] if isinstance(given, dict) else []
    ropes = [rope for rope in ropes if isinstance(rope, dict)]
    return [rope for rope in ropes if (rope.get("rope_type") or rope.get("type")) in types]


def _text_config(config: PretrainedConfig) -> PretrainedConfig:
    return config.get_text_config(decoder=True)


def _is_encoder(config: PretrainedConfig) -> bool:
    # is_decoder alone is not enough: GPT-NeoX, a decoder, sets it to False too.
    if getattr(config, "attn_type", None) == "bi":  # XLNet
        return True
    flags = (getattr(config, flag, None) for flag in ("is_decoder", "causal"))
    return config.model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES and any(flag is False for flag in flags)


def _is_drafter(text: PretrainedConfig) -> bool:
    """Return whether a config is one of Gemma's draft models, which read all keys from their target model."""
    shared = getattr(text, "num_kv_shared_layers", None)
    return bool(shared) and shared == _count(text, "num_hidden_layers")


def _num_kv_heads(text: PretrainedConfig) -> int | None:
    # Falcon uses the key num_kv_heads; its first generation ignores it and has one shared key/value head.
    if getattr(text, "multi_query", False) and not getattr(text, "new_decoder_architecture", False):
        return 1
    return _count(text, "num_key_value_heads") or _count(text, "num_kv_heads")


def _count(text: PretrainedConfig, key: str) -> int | None:
    """Return a positive count, the largest one if it differs by layer; ``None`` if the key is missing."""
    try:
        value: Any = getattr(text, key, None)
    except RuntimeError:  # raised by transformers for a key whose value differs by layer
        value = [getattr(layer, key, None) for layer in text.per_layer_config]
    values = value if isinstance(value, list | tuple) else [value]
    return max((item for item in values if isinstance(item, int) and item > 0), default=None)
