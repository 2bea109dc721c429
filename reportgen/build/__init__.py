"""Run prompts and write a site; ``build.py`` calls the stages in order.

Input: prompts, options and a results folder.
Output: pages, an index, and a record of what was built.
"""
