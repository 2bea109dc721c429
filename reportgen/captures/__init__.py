"""Run prompts on a model and record the results.

Input: a loaded model, prompts, and collectors of evidence.
Output: captures, which hold the tokens, attention weights, predictions and evidence of a prompt, and the file format
of a capture.
"""
