"""Draws captures: HTML pages, tables, pictures.

Comes in: captures.
Goes out: the text of pages, comparisons and the index; tables of numbers; pictures.
"""
