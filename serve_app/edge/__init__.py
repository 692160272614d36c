"""The ASGI layers around the application, which every request and response passes;
stack.py puts them together."""
