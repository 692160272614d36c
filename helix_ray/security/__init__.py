"""Authentication: password hashes and signed tokens. Authorisation is in core/access.py."""
