"""The pure centre: orders become facts, facts become state. No clock, ids, chance or I/O in here."""
