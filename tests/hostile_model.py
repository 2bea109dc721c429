"""A model whose vocabulary is hostile, saved as a user would have it."""

from __future__ import annotations

from pathlib import Path

import torch
from hostile import HOSTILE_STRINGS
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from reportgen.models.hf_errors import quiet

BETWEEN = "\u241e"
"""Stands between the words of a text and is no part of them."""
_VOCABULARY = (*HOSTILE_STRINGS, "</s>")


def make_hostile_tokenizer() -> PreTrainedTokenizerFast:
    """Return a tokenizer whose every token but the last is one of the hostile strings."""
    tokenizer = Tokenizer(models.WordLevel(vocab={text: i for i, text in enumerate(_VOCABULARY)}, unk_token=None))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(BETWEEN, "removed")
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=_VOCABULARY[-1])


def save_hostile_model(folder: Path) -> None:
    """Save a tiny Llama with that tokenizer."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(_VOCABULARY), hidden_size=16, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=2, max_position_embeddings=256, bos_token_id=None,
        eos_token_id=len(HOSTILE_STRINGS), initializer_range=0.6,
    )  # fmt: skip
    with quiet():
        LlamaForCausalLM(config).eval().save_pretrained(folder)
        make_hostile_tokenizer().save_pretrained(folder)
