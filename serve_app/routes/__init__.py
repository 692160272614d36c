"""One file a noun. Each has a `router`; serve_app/app.py puts them under /api/v1."""
