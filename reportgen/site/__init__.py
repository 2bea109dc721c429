"""The results folder: write, read, lock and remove the files in it.

Input: pages and the files that belong to them.
Output: files, the index and the report; the cards of existing pages.
"""
