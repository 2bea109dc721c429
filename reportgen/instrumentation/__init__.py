"""Finds what stands where in a network, and shows what passes through it.

Comes in: a network of transformers and texts as token ids.
Goes out: where its attention, layers and unembedding are; traces of heads, rows and layers while it runs.
"""
