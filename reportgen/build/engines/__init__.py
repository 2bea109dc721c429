"""Runs batches of prompts: in this process, or on a Ray cluster.

Comes in: the prompts of a run, grouped by model.
Goes out: what became of each: what to write, or why it failed.
"""
