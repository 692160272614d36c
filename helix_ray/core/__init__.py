"""The pure core: orders become facts, facts become state. It has no clock, ids, randomness or I/O."""
