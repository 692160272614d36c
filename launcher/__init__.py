"""Starts and ends the product on machines: `helix up` (up) and `helix node` (node). It speaks
no HTTP of its own."""
