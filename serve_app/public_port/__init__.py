"""What the public port needs of Serve and uvicorn: which layers stand round the
application, and where it listens."""
