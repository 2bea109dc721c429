"""Owns the results folder: what is written there, read from it, locked and removed.

Comes in: pages and what belongs to them.
Goes out: files, the index and the report; cards of the pages that are there.
"""
