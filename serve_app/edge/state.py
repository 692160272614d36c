"""The keys in `scope["state"]` under which the edge passes its results to serve_app/deps.py."""

from __future__ import annotations

from typing import Final

from serve_app.problems import REQUEST_ID

__all__ = [
    "ALLOWANCE",
    "CLAIMS",
    "CLIENT_ADDRESS",
    "ENDS_WITH_SERVER",
    "REQUEST_ID",
    "TOKEN_REFUSAL",
    "TRACEPARENT",
]

# str: an IP address, or "local" for a Unix socket.
CLIENT_ADDRESS: Final = "client_address"
# helix_ray.security.tokens.Claims of a bearer token that verifies, else None.
CLAIMS: Final = "claims"
# helix_ray.core.errors.Rejected when a bearer token was sent and does not verify, else None.
TOKEN_REFUSAL: Final = "token_refusal"
# helix_ray.core.traceparent.TraceParent of the request; missing where it has none.
TRACEPARENT: Final = "traceparent"
# helix_ray.core.limits.Allowance: what the caller has left in the request's class.
ALLOWANCE: Final = "allowance"
# bool: the response has no end of its own, so a server that stops does not wait for it.
ENDS_WITH_SERVER: Final = "ends_with_server"
