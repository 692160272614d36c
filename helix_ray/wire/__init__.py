"""Shapes on the wire: what the server and the client agree on."""
