"""GGUF files into safetensors, which load in a fraction of the time."""

from __future__ import annotations

from pathlib import Path

from reportgen.models.hf_errors import calling_transformers, quiet, without_bars


def convert_gguf(gguf: Path, folder: Path, name: str) -> None:
    """Write a GGUF file's config, tokenizer and weights, widened to float32, as a folder that transformers loads.

    torch and transformers are imported here, so that the list of models needs neither.

    Args:
        gguf: the file.
        folder: is made; the weights in it equal those of the file bit for bit after dequantisation.
        name: what to call the model in errors.

    Raises:
        ModelError: transformers cannot read the file.
        OSError: the folder cannot be written.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with calling_transformers(name, "GGUF file"), without_bars():
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
        network = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    # The weights are plain float32 by now, but transformers takes them for quantised and would refuse to save them.
    vars(network).update(hf_quantizer=None, is_quantized=False)
    if hasattr(network.config, "quantization_config"):
        del network.config.quantization_config
    with quiet():
        network.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
