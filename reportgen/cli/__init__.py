"""The command line: one module per command, plus options, errors, progress and shell completion.

Input: arguments.
Output: files, messages and exit codes: 0 success, 1 something failed, 2 wrong usage, 130 interrupted.
"""
