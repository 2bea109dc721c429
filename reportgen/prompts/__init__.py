"""Read prompts.yaml and report every mistake in it with its line.

Input: a YAML file.
Output: checked prompts and comparisons, each with a slug and a title.
"""
