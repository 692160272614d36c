"""Runs attempts of tasks in warm executor processes: commands, functions, inference.

It imports neither Ray nor HTTP. A node worker listens on a Unix domain socket; executors connect to it and
exchange the messages of `assignment` in `frames`.
"""
