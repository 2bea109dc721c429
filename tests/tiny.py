"""Tiny seeded models and their tokenizer, built in memory in under half a second."""

from __future__ import annotations

from pathlib import Path

import torch
from peft import LoraConfig, PeftConfig, get_peft_model
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from reportgen.models.hf_errors import quiet

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Return a byte-level tokenizer of 259 tokens: three special ones, then one for each byte."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate((*SPECIAL, *alphabet))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(SPECIAL))
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<|im_start|>", eos_token="<|im_end|>")
    fast.chat_template = CHAT_TEMPLATE
    return fast


def make_sentencepiece() -> PreTrainedTokenizerFast:
    """Return a tokenizer as Llama 2 has it: words begin with ``▁``, and what has no piece falls back to bytes."""
    words = ["<unk>", "<s>", "</s>", "▁", "a", "t", "c", "▁cat", "▁ate", "é"]
    vocabulary = {piece: i for i, piece in enumerate([*words, *(f"<0x{byte:02X}>" for byte in range(256))])}
    merges = [("▁", "c"), ("▁c", "a"), ("▁ca", "t")]
    vocabulary |= {left + right: len(vocabulary) + i for i, (left, right) in enumerate(merges[:2])}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def make_llama(seed: int = 0) -> LlamaForCausalLM:
    """Return a Llama with 3 layers, 4 query heads and 2 key/value heads."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=259, hidden_size=16, intermediate_size=32, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=512, bos_token_id=1, eos_token_id=2, initializer_range=0.6,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


def make_gpt2(seed: int = 0) -> GPT2LMHeadModel:
    """Return a GPT-2 with 2 layers and 2 heads."""
    torch.manual_seed(seed)
    config = GPT2Config(
        vocab_size=259, n_embd=16, n_layer=2, n_head=2, n_positions=256, bos_token_id=1, eos_token_id=2,
        initializer_range=0.6,
    )  # fmt: skip
    return GPT2LMHeadModel(config).eval()


def save_llama(folder: Path) -> Path:
    """Write a tiny model with its tokenizer, and return their folder."""
    make_llama().save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return folder


def save_adapter(folder: Path, network: PreTrainedModel, config: PeftConfig | None = None) -> PreTrainedModel:
    """Save an adapter of random weights for a network, which is changed, and return the network with it merged in."""
    torch.manual_seed(1)
    targets = [name for name in ("q_proj", "o_proj", "down_proj", "c_attn") if name in str(network)]
    config = config or LoraConfig(r=2, target_modules=targets, task_type="CAUSAL_LM", init_lora_weights=False)
    with quiet():
        adapted = get_peft_model(network, config)
        adapted.save_pretrained(str(folder))
        return adapted.merge_and_unload() if hasattr(adapted.base_model, "merge_and_unload") else network
