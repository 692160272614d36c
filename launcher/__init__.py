"""Starts and ends the product on machines: `helix up` (up) and `helix node` (node). It serves no HTTP
itself."""
