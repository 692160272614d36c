"""Blobs: files that are named by the SHA-256 of what is in them, such as models and data sets."""
