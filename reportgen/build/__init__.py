"""Takes prompts to a site, one stage after another; build.py is the whole program.

Comes in: prompts, options, and a results folder.
Goes out: pages and an index, and an account of what was built.
"""
