"""The append-only journal: a SQLite file, its lock, and a signed note (HEAD) of
the last acknowledged fact."""
