"""Accelerators of a host: which there are, by their kernel driver, and how busy they are.

Everything is read below a root directory, `/` in production, so that each vendor is tested on made trees.
A value that cannot be known is None, with the reason beside it.
"""
