"""The REST API from Python: `with Client("http://127.0.0.1:8080") as helix: helix.login("admin", password)`.

Names are imported on first use, so that a program which only needs an error class does not load httpx.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from helix_ray.client.api import Client as Client
    from helix_ray.client.errors import HelixError as HelixError
    from helix_ray.client.tokens import SessionTokens as Tokens
    from helix_ray.client.transport import Retries as Retries
    from helix_ray.client.transport import Timeouts as Timeouts

_HOME = {
    "Client": "api",
    "HelixError": "errors",
    "Retries": "transport",
    "Timeouts": "transport",
    "Tokens": "tokens",
}
__all__ = ["Client", "HelixError", "Retries", "Timeouts", "Tokens"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
