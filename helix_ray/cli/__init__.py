"""The `helix` program: the REST API at a terminal and in scripts."""
