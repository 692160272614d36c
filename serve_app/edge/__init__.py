"""What every request passes before the application sees it, and every answer after: pure
ASGI, put together in stack.py."""
