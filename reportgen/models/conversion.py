"""Convert GGUF files to safetensors, which load several times faster."""

from __future__ import annotations

from pathlib import Path

from reportgen.models.hf_errors import calling_transformers, quiet, without_bars


def convert_gguf(gguf: Path, folder: Path, name: str) -> None:
    """Convert a GGUF file to a folder with config, tokenizer and float32 weights that transformers can load.

    torch and transformers are imported inside this function, so that listing models needs neither.

    Args:
        gguf: the file.
        folder: the folder to create; its weights are bit-identical to the dequantised weights of the file.
        name: name of the model, for error messages.

    Raises:
        ModelError: transformers cannot read the file.
        OSError: the folder cannot be written.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with calling_transformers(name, "GGUF file"), without_bars():
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
        network = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    # The weights are now float32, but transformers still marks them as quantised and would refuse to save them.
    vars(network).update(hf_quantizer=None, is_quantized=False)
    if hasattr(network.config, "quantization_config"):
        del network.config.quantization_config
    with quiet():
        network.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
