"""Find and load models: hub names, folders, GGUF files, adapters and bundled models.

Input: the name of a model.
Output: the facts in its config, its fingerprint, or a loaded network with its tokenizer.
"""
