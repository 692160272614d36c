"""Serves the product: the FastAPI application (it sees the port, never Ray) and
its deployment on Ray Serve."""
