"""The command line: a file for what users type, see and press.

Comes in: arguments.
Goes out: files, messages and exit codes: 0 all is well, 1 something failed, 2 wrong usage, 130 interrupted.
"""
