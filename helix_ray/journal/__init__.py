"""The append-only truth: one SQLite file, its lock, and a signed note of how far it was acknowledged."""
