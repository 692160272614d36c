"""The `helix` program: the REST API for people at a terminal and for scripts."""
