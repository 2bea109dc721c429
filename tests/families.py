"""A tiny seeded network of every causal family of transformers, with every norm and bias away from 1 and 0.

Those of ``FAMILIES`` are written out, and many tests run on each of them. All others are made of their default config,
with every size that is known made small.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from tiny import make_tokenizer
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig, PreTrainedModel
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from reportgen.build.capture import capture
from reportgen.captures.record import Capture
from reportgen.instrumentation.observer import HeadTrace, Observer
from reportgen.models.model import wrap_model
from reportgen.records import Prompt

_LLAMA: dict[str, Any] = {
    "vocab_size": 259, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 4, "max_position_embeddings": 128, "initializer_range": 0.4,
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
_GPT2: dict[str, Any] = {
    "vocab_size": 259, "n_embd": 16, "n_layer": 2, "n_head": 4, "n_positions": 128, "initializer_range": 0.4,
    "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
_EXPERTS = {"num_local_experts": 2, "num_experts_per_tok": 1}
_WINDOW = {"sliding_window": 8}

FAMILIES: dict[str, dict[str, Any]] = {
    "apertus": _LLAMA,
    "arcee": _LLAMA,
    "biogpt": _LLAMA,
    "bitnet": _LLAMA,
    "bloom": {"vocab_size": 259, "hidden_size": 16, "n_layer": 2, "n_head": 4, "initializer_range": 0.4},
    "codegen": {**_GPT2, "rotary_dim": 4},
    "cohere": _LLAMA,
    "cohere2": {**_LLAMA, **_WINDOW},
    "ctrl": {**_GPT2, "dff": 32},
    "deepseek_v3": {
        **_LLAMA, "num_key_value_heads": 4, "kv_lora_rank": 8, "q_lora_rank": 8, "qk_rope_head_dim": 4,
        "qk_nope_head_dim": 4, "v_head_dim": 8, "n_routed_experts": 2, "num_experts_per_tok": 1, "n_group": 1,
        "topk_group": 1, "first_k_dense_replace": 1, "moe_intermediate_size": 16,
    },
    "diffllama": _LLAMA,
    "ernie4_5": _LLAMA,
    "exaone4": {**_LLAMA, **_WINDOW},
    "falcon": {
        "vocab_size": 259, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4,
        "initializer_range": 0.4, "ffn_hidden_size": 32, "max_position_embeddings": 128,
    },
    "gemma": _LLAMA,
    "gemma2": {**_LLAMA, **_WINDOW, "query_pre_attn_scalar": 4},
    "gemma3_text": {**_LLAMA, **_WINDOW, "query_pre_attn_scalar": 4},
    "glm": _LLAMA,
    "glm4": _LLAMA,
    "gpt2": _GPT2,
    "gpt_bigcode": _GPT2,
    "gpt_neo": {
        "vocab_size": 259, "hidden_size": 16, "num_layers": 2, "num_heads": 4, "intermediate_size": 32,
        "max_position_embeddings": 128, "attention_types": [[["global", "local"], 1]], "window_size": 8,
        "initializer_range": 0.4,
    },
    "gpt_neox": _LLAMA,
    "gpt_oss": {**_LLAMA, **_EXPERTS, **_WINDOW},
    "gptj": {**_GPT2, "rotary_dim": 4},
    "granite": {**_LLAMA, "residual_multiplier": 0.5, "logits_scaling": 2.0, "embedding_multiplier": 3.0},
    "helium": _LLAMA,
    "jamba": {
        **_LLAMA, "attn_layer_period": 2, "attn_layer_offset": 1, "num_experts": 2, "num_experts_per_tok": 1,
        "mamba_d_state": 4, "mamba_dt_rank": 4,
    },
    "lfm2": {**_LLAMA, "num_hidden_layers": 3, "layer_types": ["conv", "full_attention", "conv"]},
    "llama": _LLAMA,
    "mistral": {**_LLAMA, **_WINDOW},
    "mixtral": {**_LLAMA, **_EXPERTS},
    "mpt": {
        "vocab_size": 259, "d_model": 16, "n_heads": 4, "n_layers": 2, "max_seq_len": 128, "initializer_range": 0.4,
    },
    "nemotron": _LLAMA,
    "olmo": _LLAMA,
    "olmo2": _LLAMA,
    "olmo3": {**_LLAMA, **_WINDOW},
    "olmoe": {**_LLAMA, "num_experts": 2, "num_experts_per_tok": 1},
    "opt": {
        "vocab_size": 259, "hidden_size": 16, "ffn_dim": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
        "max_position_embeddings": 128, "word_embed_proj_dim": 16, "init_std": 0.4,
    },
    "persimmon": _LLAMA,
    "phi": _LLAMA,
    "phi3": _LLAMA,
    "qwen2": _LLAMA,
    "qwen3": _LLAMA,
    "qwen3_moe": {**_LLAMA, "num_experts": 2, "num_experts_per_tok": 1, "moe_intermediate_size": 16},
    "qwen3_next": {
        **_LLAMA, "num_experts": 2, "num_experts_per_tok": 1, "moe_intermediate_size": 16,
        "shared_expert_intermediate_size": 16, "linear_num_value_heads": 4, "linear_num_key_heads": 2,
        "linear_key_head_dim": 4, "linear_value_head_dim": 4, "num_hidden_layers": 4,
    },
    "seed_oss": _LLAMA,
    "smollm3": _LLAMA,
    "stablelm": _LLAMA,
    "starcoder2": _LLAMA,
    "xglm": {
        "vocab_size": 259, "d_model": 16, "ffn_dim": 32, "num_layers": 2, "attention_heads": 4,
        "max_position_embeddings": 128, "init_std": 0.4,
    },
}  # fmt: skip
"""Settings by ``model_type`` in transformers."""


OTHERS = (
    "axk2", "bamba", "bart", "bert", "cpmant", "dbrx", "deepseek_v4", "dory", "falcon_h1", "gemma3", "gemma4",
    "gemma4_assistant", "glm_moe_dsa", "hy_v4", "inkling2_text", "kimi_linear", "longcat_flash", "mamba2",
    "mimo_v2_flash", "minicpm3", "minimax", "mllama", "modernbert-decoder", "moshi", "musicgen", "nemotron_h",
    "openai-gpt", "phi4_multimodal", "prophetnet", "qwen4_exp", "recurrent_gemma", "reformer", "roberta", "xlm",
    "xlnet", "zamba2",
)  # fmt: skip
"""Of those that are not written out, one of each kind."""

ALL = tuple(sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES))
"""Every ``model_type`` for which the installed transformers has a causal language model."""

PROMPT = Prompt(text="The cat ate", max_new_tokens=4, evidence=("ablation",))
"""What ``captured`` runs."""

_SIZES: dict[str, Any] = {
    "vocab_size": 259, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 2,
    "initializer_range": 0.4, "init_std": 0.4,
    # width
    "hidden_size": 16, "n_embd": 16, "d_model": 16, "emb_dim": 16, "embedding_size": 16, "dim_head": 4,
    "intermediate_size": 32, "ffn_dim": 32, "ffn_hidden_size": 32, "decoder_ffn_dim": 32, "encoder_ffn_dim": 32,
    "dim_ff": 32, "d_inner": 32, "feed_forward_size": 32,
    # length
    "max_position_embeddings": 128, "n_positions": 128, "max_seq_len": 128, "max_target_positions": 128,
    "sliding_window": 8, "attention_window_size": 8, "local_attention": 8,
    # depth; encoders have as many layers as decoders, for transformers mixes the two counts up where they differ
    "num_hidden_layers": 4, "n_layer": 4, "n_layers": 4, "num_layers": 4, "decoder_layers": 4, "encoder_layers": 4,
    "num_decoder_layers": 4, "num_encoder_layers": 4, "num_kv_shared_layers": 0, "num_blocks": 2, "depth": 2,
    # heads
    "num_attention_heads": 4, "n_head": 4, "n_heads": 4, "num_heads": 4, "attention_heads": 4, "head_dim": 4,
    "decoder_attention_heads": 4, "encoder_attention_heads": 4, "num_decoder_attention_heads": 4,
    "num_encoder_attention_heads": 4, "num_key_value_heads": 2, "d_head": 4, "attention_head_size": 4,
    "rotary_dim": 4, "kv_lora_rank": 8, "q_lora_rank": 8, "qk_rope_head_dim": 4, "qk_nope_head_dim": 4,
    "qk_head_dim": 8, "v_head_dim": 4, "index_head_dim": 8, "index_n_heads": 4, "o_groups": 2, "o_lora_rank": 4,
    # experts
    "num_experts": 4, "num_local_experts": 4, "n_routed_experts": 4, "moe_num_experts": 4, "num_experts_per_tok": 1,
    "moe_topk": 1, "moe_k": 1, "n_group": 1, "topk_group": 1, "n_shared_experts": 1, "num_shared_experts": 1,
    "first_k_dense_replace": 1, "moe_intermediate_size": 16, "shared_expert_intermediate_size": 16,
    "expert_ffn_hidden_size": 16, "shared_intermediate_size": 16, "moe_shared_expert_intermediate_size": 16,
    "shared_experts_intermediate_size": 16, "router_hidden_size": 8,
    # recurrence
    "mamba_d_state": 4, "mamba_dt_rank": 4, "mamba_n_heads": 4, "mamba_d_head": 8, "mamba_d_ssm": 32,
    "mamba_chunk_size": 8, "mamba_n_groups": 1, "mamba_num_heads": 4, "mamba_head_dim": 8, "n_groups": 1,
    "ssm_state_size": 4, "state_size": 4, "chunk_size": 8, "n_mamba_heads": 2, "linear_num_value_heads": 4,
    "linear_num_key_heads": 2, "linear_key_head_dim": 4, "linear_value_head_dim": 4, "linear_head_dim": 4,
    "linear_num_heads": 4, "block_size": 8,
}  # fmt: skip
"""A small size for each key under which some config has one."""

_DECODER = {"is_decoder": True}
_DECODER_ALONE = {**_DECODER, "is_encoder_decoder": False}
_LATENT = {"num_key_value_heads": 4}
_LINEAR_THEN_FULL = {"layer_types": ["linear_attention", "full_attention", "linear_attention", "full_attention"]}

_DOTS = {
    **_LATENT, "swa_num_attention_heads": 4, "swa_num_key_value_heads": 4, "swa_q_lora_rank": 8, "swa_kv_lora_rank": 8,
    "swa_head_dim": 8, "swa_qk_nope_head_dim": 4, "swa_v_head_dim": 4, "head_dim": 8,
}  # fmt: skip
_GEMMA3N = {"vocab_size_per_layer_input": 259, "hidden_size_per_layer_input": 4, "laurel_rank": 4}
_GLOBAL_HEADS = {"global_head_dim": 8}
_GEMMA4 = {**_GLOBAL_HEADS, "vocab_size_per_layer_input": 259, "hidden_size_per_layer_input": 4}
_DRAFTER = {"num_kv_shared_layers": 4, "vocab_size_per_layer_input": 0, "hidden_size_per_layer_input": 0}
_INKLING = {
    "swa_num_attention_heads": 4, "swa_num_key_value_heads": 2, "swa_head_dim": 4, "unpadded_vocab_size": 259,
    "d_rel": 4, "rel_extent": 16,
}  # fmt: skip
_INDEXER = {
    "indexer_n_heads": 2, "indexer_kv_heads": 1, "indexer_head_dim": 8, "indexer_budget": 8,
    "indexer_compress_ratio": 4,
}  # fmt: skip

_CHANGES: dict[str, dict[str, Any]] = {
    "axk1": _LATENT,
    "axk2": _LATENT,
    "bailing_hybrid": {**_LATENT, **_LINEAR_THEN_FULL},
    "bamba": {"attn_layer_indices": [1, 3]},
    "bart": _DECODER_ALONE,
    "bert": _DECODER,
    "bert-generation": _DECODER,
    "big_bird": {**_DECODER, "attention_type": "original_full"},
    "bigbird_pegasus": _DECODER_ALONE,
    "blenderbot": _DECODER_ALONE,
    "blenderbot-small": _DECODER_ALONE,
    "blt": {
        "encoder_hash_byte_group_vocab": 64, "encoder_hash_byte_group_size": [3], "cross_attn_k": 1,
        "encoder_config": {"cross_attn_k": 1}, "decoder_config": {"cross_attn_k": 1, "hidden_size_global": 16},
        "global_config": {"hidden_size": 16},
    },
    "camembert": _DECODER,
    "cohere_compass_text": {"rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 10000.0}}},
    "data2vec-text": _DECODER,
    "dbrx": {
        "attn_config": {"kv_n_heads": 2, "rope_theta": 10000.0, "clip_qkv": 8},
        "ffn_config": {"moe_num_experts": 4, "moe_top_k": 1},
    },
    "deepseek_v2": _LATENT,
    "deepseek_v32": _LATENT,
    "deepseek_v4": {"head_dim": 8, "partial_rotary_factor": 0.5},
    "dory": {"n_input_layers": 1, "n_recurrent_layers": 2, "n_output_layers": 1},
    "dots3_note": {
        "text_config": _DOTS,
        "vision_config": {"adapter_in_dim": 16, "adapter_out_dim": 16, "mlp_layer_types": ["dense"] * 4},
        "audio_config": {"adapter_input_size": 16, "adapter_out_dim": 16},
    },
    "dots3_note_text": _DOTS,
    "electra": _DECODER,
    "ernie": _DECODER,
    "gemma3n": {"text_config": _GEMMA3N},
    "gemma3n_text": _GEMMA3N,
    "gemma4": {"text_config": _GEMMA4},
    "gemma4_assistant": {"text_config": {**_GEMMA4, **_DRAFTER}},
    "gemma4_text": _GEMMA4,
    "gemma4_unified": {"text_config": _GLOBAL_HEADS, "vision_config": {"patch_size": 4, "mm_posemb_size": 8}},
    "gemma4_unified_assistant": {"text_config": {**_GLOBAL_HEADS, **_DRAFTER}},
    "gemma4_unified_text": _GLOBAL_HEADS,
    "glm4_moe_lite": _LATENT,
    "glm_moe_dsa": _LATENT,
    "granitemoehybrid": _LINEAR_THEN_FULL,
    "inkling2_loop_text": {
        **_INKLING, "n_layers_per_attn_res_block": 1, "loop_layer_index_start": 1, "loop_layer_index_end": 3,
        "loop_gate_rank": 4,
    },
    "inkling2_text": {**_INKLING, "n_layers_per_attn_res_block": 2},
    "inkling_text": _INKLING,
    "jetmoe": {"num_experts_per_tok": 2},
    "kimi_linear": {**_LATENT, **_LINEAR_THEN_FULL},
    "lfm2_moe": {"layer_types": ["conv", "full_attention", "conv", "full_attention"]},
    "longcat_flash": {**_LATENT, "num_layers": 2, "moe_topk": 2, "zero_expert_num": 2},
    "mamba2": {"num_heads": 8},
    "marian": _DECODER_ALONE,
    "mbart": _DECODER_ALONE,
    "megatron-bert": _DECODER,
    "minicpm3": _LATENT,
    "moshi": {"sliding_window": 128},  # its cache forgets what is farther away, its mask does not
    "mvp": _DECODER_ALONE,
    "pegasus": _DECODER_ALONE,
    "plbart": _DECODER_ALONE,
    "prophetnet": _DECODER_ALONE,
    "qwen4_exp": {"text_config": _INDEXER},
    "qwen4_exp_text": _INDEXER,
    "reformer": {**_DECODER, "axial_pos_shape": [8, 16], "axial_pos_embds_dim": [8, 8]},
    "rembert": {**_DECODER, "input_embedding_size": 8, "output_embedding_size": 24},
    "roberta": _DECODER,
    "roberta-prelayernorm": _DECODER,
    "roc_bert": {
        **_DECODER, "shape_vocab_size": 64, "pronunciation_vocab_size": 64, "shape_embed_dim": 8,
        "pronunciation_embed_dim": 8,
    },
    "roformer": _DECODER,
    "sarvam_mla": _LATENT,
    "whisper": _DECODER_ALONE,
    "xlm": {"causal": True},
    "xlm-roberta": _DECODER,
    "xlm-roberta-xl": _DECODER,
    "xmod": {**_DECODER, "default_language": "en_XX"},
    "youtu": _LATENT,
    "zamba": {"layers_block_type": ["linear_attention", "hybrid"] * 2},
    "zamba2": {"layers_block_type": ["linear_attention", "hybrid"] * 2},
}  # fmt: skip
"""What families that are not written out need besides."""

_MOST_PARAMETERS = 3_000_000


MIXED = {"bitnet", "diffllama"}
"""Families whose heads are mixed with one another or normed before the output projection."""


class Projections(Observer):
    """Notes the linear map behind the heads of each layer."""

    def __init__(self) -> None:
        self.found: dict[int, nn.Module] = {}

    def see_heads(self, trace: HeadTrace) -> None:
        assert trace.projection is not None
        self.found[trace.layer] = trace.projection


def make_config(family: str, **changes: Any) -> PretrainedConfig:
    """Return the config of a family's tiny network."""
    if family in FAMILIES:
        settings = FAMILIES[family]
    else:
        settings = _merge(_small(CONFIG_MAPPING[family]), _CHANGES.get(family, {}))
    return AutoConfig.for_model(family, **{**settings, **changes})


def make_network(family: str, **changes: Any) -> PreTrainedModel:
    """Return the network of a family, 4 heads in a layer, in evaluation mode."""
    config = make_config(family, **changes)
    _check_small(config)
    torch.manual_seed(0)
    network = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim == 1:  # a norm whose weight is 1 and bias 0 would hide what is left out
                parameter.add_(0.3 * torch.randn_like(parameter))
    return network.eval().requires_grad_(False)


@cache
def captured(family: str) -> Capture:
    """Return the capture of ``PROMPT`` on a family's network: all evidence, made once a process, its arrays locked."""
    made = capture(wrap_model(make_network(family), make_tokenizer(), name=family), PROMPT)
    _lock(made)
    return made


def _lock(value: Any) -> None:
    """Let no test change what others read."""
    if isinstance(value, np.ndarray):
        value.flags.writeable = False
    elif is_dataclass(value):
        for field in fields(value):
            _lock(getattr(value, field.name))
    elif isinstance(value, dict):
        for item in value.values():
            _lock(item)


def _small(kind: type[PretrainedConfig]) -> dict[str, Any]:
    """Return a small size for every key of a kind of config that ``_SIZES`` knows, and the same of configs inside."""
    names = {field.name for field in fields(kind)}
    settings: dict[str, Any] = {key: size for key, size in _SIZES.items() if key in names}
    for name, inner in kind.sub_configs.items():
        spec = kind.sub_configs_defaults.get(name)
        model_type = getattr(spec, "model_type", None)
        if inner is AutoConfig:
            settings[name] = {"model_type": model_type, **_small(CONFIG_MAPPING[model_type])}
        else:
            settings[name] = _small(inner)
    return settings


def _merge(settings: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Change settings, and those of configs inside."""
    merged = dict(settings)
    for key, change in changes.items():
        inside = merged.get(key)
        merged[key] = _merge(inside, change) if isinstance(inside, dict) and isinstance(change, dict) else change
    return merged


def _check_small(config: PretrainedConfig) -> None:
    """Count the parameters on torch's device without memory, before any is made."""
    with torch.device("meta"):
        parameters = dict(AutoModelForCausalLM.from_config(config).named_parameters())
    count = sum(parameter.numel() for parameter in parameters.values())
    if count > _MOST_PARAMETERS:
        widest = max(parameters, key=lambda name: parameters[name].numel())
        raise ValueError(f"{config.model_type}: {count:,} parameters, most of them in {widest}; make its sizes small")


@contextmanager
def without_head(projection: nn.Module, head: int, num_heads: int, method: str) -> Iterator[None]:
    """Set a head's slice of the input of its projection to 0 or to its mean: the definition of an ablation."""

    def hook(_: nn.Module, given: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        size = given[0].shape[-1] // num_heads
        changed = given[0].clone()
        part = changed[..., head * size : (head + 1) * size]
        part[:] = part.mean(1, keepdim=True) if method == "mean-ablation" else 0
        return (changed,)

    handle = projection.register_forward_pre_hook(hook)
    try:
        yield
    finally:
        handle.remove()
