"""The public port on top of Serve and uvicorn: the layers around the application, and the sockets."""
