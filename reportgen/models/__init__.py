"""Finds and loads models: hub names, folders, GGUF files, adapters, the bundled one.

Comes in: the name of a model.
Goes out: its facts from its config alone, its fingerprint, or a loaded network with its tokenizer.
"""
