"""Runs prompts and keeps what happened.

Comes in: a loaded model, prompts, and collectors of evidence.
Goes out: captures: tokens, attention weights, predictions and evidence of each prompt, and the file that holds one.
"""
