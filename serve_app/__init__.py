"""The HTTP side: routes see the control plane's port, never Ray."""
