"""The tiny Llama as a GGUF file."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType
from gguf.quants import quantize
from tiny import make_llama, make_tokenizer

GGUF_NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "model.layers": "blk",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def write_gguf(path: Path, *, quantised: bool = False, family: str = "llama") -> None:
    """Write the tiny Llama and its tokenizer as a GGUF file, in float32 or with blocks of 4 bits and float16.

    As ``qwen2`` it also has biases of 1 for queries, keys and values.
    """
    network, tokenizer = make_llama(), make_tokenizer()
    config = network.config
    writer = gguf.GGUFWriter(path, family)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model("gpt2")
    # A GGUF file must hold a merge, and the token that it makes: the last byte gives way to it.
    writer.add_token_list([*tokenizer.convert_ids_to_tokens(range(config.vocab_size - 1)), "ab"])
    writer.add_token_types([3] * 3 + [1] * 256)
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    for name, weight in network.state_dict().items():
        stored = _as_gguf(name, weight.numpy(), config)
        kind = _kind_of(stored) if quantised else GGMLQuantizationType.F32
        writer.add_tensor(_gguf_name(name), quantize(stored, kind), raw_dtype=kind)
        if family == "qwen2" and name.endswith(("q_proj.weight", "k_proj.weight", "v_proj.weight")):
            writer.add_tensor(_gguf_name(name).replace("weight", "bias"), np.ones(len(stored), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _kind_of(weight: np.ndarray) -> GGMLQuantizationType:
    """Return the type of a stored weight: blocks have 32 numbers of a row, and norms are never rounded."""
    if weight.ndim < 2:
        return GGMLQuantizationType.F32
    return GGMLQuantizationType.F16 if weight.shape[-1] % 32 else GGMLQuantizationType.Q4_1


def _gguf_name(name: str) -> str:
    for ours, theirs in GGUF_NAMES.items():
        name = name.replace(ours, theirs)
    return name


def _as_gguf(name: str, weight: np.ndarray, config) -> np.ndarray:
    """Return a weight in GGUF's order: it interleaves the two halves that rotary positions turn together."""
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}.get(name.split(".")[-2])
    if heads is None:
        return weight
    halves = weight.reshape(heads, 2, -1, weight.shape[1])
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(weight.shape))
