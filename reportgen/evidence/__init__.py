"""Measures evidence: what a head does, and whether it matters.

Comes in: traces of a run, layer by layer.
Goes out: a value for each kind of ``kinds``, with its definition, unit and source, or the reason why it is missing.
"""
