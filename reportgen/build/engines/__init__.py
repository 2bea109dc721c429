"""Run batches of prompts in this process, or on a Ray cluster.

Input: the prompts of a run.
Output: the result of each prompt: the page to write, or why it failed.
"""
