"""Requests to places that users name: which addresses are allowed, and a transport that keeps to it."""
