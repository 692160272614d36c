"""Rate limits at the edge: which policy counts a request, and the headers that report it on every response.

Each request of a user has one class, by method and path (CLASSES): the documented API, or automatic traffic
with its own limit, so that a worker's heartbeats do not use up a person's requests. Without a valid token a
request counts for its address, whatever its class.

`X-RateLimit-*` as the API reference has them (Reset in epoch seconds); `RateLimit` and `RateLimit-Policy` as
in the IETF draft draft-ietf-httpapi-ratelimit-headers-11, where `t` is seconds until more quota is available.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, Protocol
from urllib.parse import unquote_to_bytes

from helix_ray.core.errors import ErrorCode, Refused, Rejected
from helix_ray.core.limits import (
    ANONYMOUS,
    AUTHENTICATED,
    DEVICES,
    INFERENCE,
    LOGIN,
    STREAMS,
    WORKERS,
    Allowance,
)
from serve_app.edge.headers import Header

if TYPE_CHECKING:
    from helix_ray.security.tokens import Claims

# Not counted: probes and scrapers must neither be locked out nor use up the limit of their address.
EXEMPT_PATHS = frozenset({"/healthz", "/readyz", "/metrics"})
# Also counted per client address under a stricter policy, by "METHOD path": routes that check a password or
# a one-time code.
STRICT_PATHS: Mapping[str, str] = {
    "POST /api/v1/auth/login": LOGIN.name,
    "PUT /api/v1/auth/password": LOGIN.name,
    "POST /api/v1/devices": LOGIN.name,
}


# Event streams have places of their own (serve_app/stream_hub.py).
EVENTS_PATH = "/api/v1/events"


class Class(NamedTuple):
    """Requests with their own policy: those whose "METHOD path" matches `route` fully.

    only_role: only users with this role and no other; only_query: only with this parameter in the query.
    """

    policy: str
    route: re.Pattern[str]
    only_role: str | None = None
    only_query: bytes = b""


# The first match counts; without a match the class is AUTHENTICATED.
CLASSES: tuple[Class, ...] = (
    Class(WORKERS.name, re.compile(r"POST /api/v1/workers/(register|heartbeat)")),
    # Users whose only role is worker read and report on tasks that heartbeats handed out.
    Class(WORKERS.name, re.compile(r"(GET|PUT) /api/v1/tasks/[^/]+"), only_role="worker"),
    Class(STREAMS.name, re.compile(r"GET /api/v1/tasks/[^/]+/logs")),
    Class(STREAMS.name, re.compile(r"GET /api/v1/tasks/[^/]+/result"), only_query=b"wait_s="),
    Class(STREAMS.name, re.compile(r"GET /api/v1/models/[^/]+/versions/[^/]+"), only_query=b"wait_s="),
    Class(STREAMS.name, re.compile(f"GET {EVENTS_PATH}")),
    Class(DEVICES.name, re.compile(r"[A-Z]+ /api/v1/devices(/.*)?")),
    Class(
        DEVICES.name, re.compile(r"[A-Z]+ /api/v1/harmony/sync/(changes|mutations|conflicts(/.*)?|documents)")
    ),
    Class(INFERENCE.name, re.compile(r"[A-Z]+ /v2/.*")),
)

Counted = tuple[str, Allowance]


class Asked(NamedTuple):
    """What the edge knows about a request before the application sees it."""

    method: str
    path: str
    query: bytes = b""


def class_of(asked: Asked, roles: tuple[str, ...]) -> str:
    """Return the policy that counts a user's request."""
    line = f"{asked.method} {asked.path}"
    for policy, route, only_role, only_query in CLASSES:
        if only_role is not None and roles != (only_role,):
            continue
        # A name may be percent-encoded: it is decoded as the application does.
        if route.fullmatch(line) is not None and only_query in unquote_to_bytes(asked.query):
            return policy
    return AUTHENTICATED.name


class Limiter(Protocol):
    """Counts requests; `helix_ray.core.limits` has the rules, serve_app/edge/limiter.py an implementation."""

    async def take(self, key: str, policy: str) -> Allowance:
        """Count one request of a caller; raise Refused (SERVICE_UNAVAILABLE) when it cannot be counted."""
        ...

    def peek(self, key: str, policy: str) -> Allowance:
        """Return the allowance as known here, without counting a request."""
        ...


@dataclass(frozen=True, slots=True)
class Admission:
    """The limiter's decision: the policies that apply, the binding one last, and the refusal if there is one.

    stream: the key that counts a long response; None for a short one.
    """

    counted: tuple[Counted, ...]
    refusal: Rejected | None = None
    stream: str | None = None

    @property
    def allowance(self) -> Allowance:
        """Return what is left under the binding policy."""
        return self.counted[-1][1]

    def headers(self) -> list[Header]:
        """Return the rate-limit headers of the response."""
        _, binding = self.counted[-1]
        return [
            (b"x-ratelimit-limit", b"%d" % binding.limit),
            (b"x-ratelimit-remaining", b"%d" % binding.remaining),
            (b"x-ratelimit-reset", b"%d" % binding.reset_epoch_s),
            (
                b"ratelimit-policy",
                b", ".join([_policy_item(p, a.limit, a.window_s) for p, a in self.counted]),
            ),
            (
                b"ratelimit",
                b", ".join(
                    [b'"%s";r=%d;t=%d' % (p.encode(), a.remaining, a.retry_after_s) for p, a in self.counted]
                ),
            ),
        ]


class RateLimits:
    """Finds the policies of a request and asks the limiter."""

    def __init__(
        self,
        limiter: Limiter,
        *,
        exempt_paths: Collection[str] = EXEMPT_PATHS,
        strict_paths: Mapping[str, str] = STRICT_PATHS,
    ) -> None:
        self._limiter = limiter
        self._exempt_paths = exempt_paths
        self._strict_paths = strict_paths

    def peek(self, address: str) -> Admission:
        """Return what an address has left, without counting a request."""
        return Admission(((ANONYMOUS.name, self._limiter.peek(address, ANONYMOUS.name)),))

    async def admit(self, asked: Asked, address: str, claims: Claims | None) -> Admission:
        """Count a request: under its user and class when the token verifies, else under its address."""
        if claims is not None:
            policy, key = class_of(asked, claims.roles), claims.user_id
        else:
            policy, key = ANONYMOUS.name, address
        if asked.path in self._exempt_paths:
            return Admission(((policy, self._limiter.peek(key, policy)),))
        counted: list[Counted] = []
        strict = self._strict_paths.get(f"{asked.method} {asked.path}")
        try:
            if strict is not None:
                counted.append((strict, await self._limiter.take(address, strict)))
            if not counted or counted[0][1].allowed:
                counted.append((policy, await self._limiter.take(key, policy)))
        except Refused as refused:
            return Admission(((policy, self._limiter.peek(key, policy)),), refused.rejected)
        binding = counted[-1]
        refusal = None if binding[1].allowed else _refusal(*binding)
        is_long = policy == STREAMS.name and asked.path != EVENTS_PATH
        return Admission(tuple(counted), refusal, key if is_long else None)


def _refusal(policy: str, allowance: Allowance) -> Rejected:
    return Rejected(
        ErrorCode.RATE_LIMIT_EXCEEDED,
        _message(policy, allowance),
        {
            "policy": policy,
            "limit": allowance.limit,
            "window_s": allowance.window_s,
            "retry_after_s": allowance.retry_after_s,
        },
    )


@lru_cache(maxsize=64)
def _policy_item(policy: str, limit: int, window_s: int) -> bytes:
    return b'"%s";q=%d;w=%d' % (policy.encode(), limit, window_s)


def _message(policy: str, allowance: Allowance) -> str:
    return f"Too many requests: the limit of class {policy} is {allowance.limit} in {allowance.window_s} s"
