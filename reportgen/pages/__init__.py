"""Render captures as HTML pages, tables and pictures.

Input: captures.
Output: the HTML of pages, comparisons and the index; tables of numbers; pictures.
"""
