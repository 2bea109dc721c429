"""The Python API of a notebook: run a prompt, look at its numbers and plots, show and save its page.

Input: a loaded model and a prompt, or captures.
Output: captures that a notebook displays as pages, and comparisons of two of them.
"""
