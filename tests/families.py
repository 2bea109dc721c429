"""A tiny seeded network of each of many families, with every norm and bias away from 1 and 0."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

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


def make_network(family: str, **changes: Any) -> PreTrainedModel:
    """Return the network of a family, 4 heads in a layer, in evaluation mode."""
    torch.manual_seed(0)
    network = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **{**FAMILIES[family], **changes}))
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim == 1:  # a norm whose weight is 1 and bias 0 would hide what is left out
                parameter.add_(0.3 * torch.randn_like(parameter))
    return network.eval().requires_grad_(False)
