"""Measures what stands beside the weights: what a head does, and whether it matters.

Comes in: traces of a run, as they pass.
Goes out: evidence by kind, each with its definition, unit and source; why one cannot be had.
"""
