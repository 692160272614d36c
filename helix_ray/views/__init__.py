"""Followers of the journal that are built for scans: what has left memory is read here."""
