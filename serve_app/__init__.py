"""The FastAPI application, which knows the control plane's port but not Ray, and its
deployment on Ray Serve."""
