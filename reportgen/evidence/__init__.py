"""Measure evidence: what a head does, and whether it matters.

Input: traces of a run, layer by layer.
Output: a value for each kind in ``kinds``, with its definition, unit and source, or the reason why it is missing.
"""
