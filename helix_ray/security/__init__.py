"""Who is calling: password hashes and signed tokens. What they may do is core/access.py."""
