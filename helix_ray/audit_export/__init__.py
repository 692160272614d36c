"""Exports of the journal that an auditor verifies on another host, without the server and without secrets."""
