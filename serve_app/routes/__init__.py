"""The routes, one file for each noun. Each has a `router`, which serve_app/app.py mounts under /api/v1."""
