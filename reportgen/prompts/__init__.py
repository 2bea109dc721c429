"""Reads prompts.yaml, and says every mistake in it with its line.

Comes in: a YAML file.
Goes out: prompts and comparisons, checked, each with a slug and a title.
"""
