"""The task history in DuckDB, folded from the journal: tasks that have left memory are read from it."""
