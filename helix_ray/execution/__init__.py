"""Run one attempt of a task inside a warm executor process: commands, functions, inference.

Knows neither Ray nor HTTP. A node worker listens on a Unix domain socket; executors connect to it and speak
`assignment` messages in `frames`.
"""
