"""Measurements beside anchors in the same run: they report, they never assert. Start with `make bench`."""
