"""Rate limits at the edge: who is counted under which policy, and the headers that say so on every answer.

A user's requests are of one class each, by method and path (CLASSES): those of the documented API, or traffic
that comes by itself and has a limit of its own. So a worker's heartbeats do not use up what a person may ask.
Without a valid token every request counts for its address, whatever its class.

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

# Not counted: probes and scrapers must not be locked out, nor eat what their address may use.
EXEMPT_PATHS = frozenset({"/healthz", "/readyz", "/metrics"})
# Counted per client address under a stricter policy as well: what says whether a password is right.
STRICT_PATHS: Mapping[str, str] = {"/api/v1/auth/login": LOGIN.name, "/api/v1/auth/password": LOGIN.name}


class Class(NamedTuple):
    """Requests that are counted under a policy of their own: those whose "METHOD path"
    matches `route` as a whole.

    only_role: only of users who have this role and no other; only_query: only with
    this parameter in the query.
    """

    policy: str
    route: re.Pattern[str]
    only_role: str | None = None
    only_query: bytes = b""


# The first that matches counts; what matches none is AUTHENTICATED.
CLASSES: tuple[Class, ...] = (
    Class(WORKERS.name, re.compile(r"POST /api/v1/workers/(register|heartbeat)")),
    # Who is a worker and nothing else reads and reports on tasks that heartbeats handed out.
    Class(WORKERS.name, re.compile(r"(GET|PUT) /api/v1/tasks/[^/]+"), only_role="worker"),
    Class(STREAMS.name, re.compile(r"GET /api/v1/tasks/[^/]+/logs")),
    Class(STREAMS.name, re.compile(r"GET /api/v1/tasks/[^/]+/result"), only_query=b"wait_s="),
    Class(STREAMS.name, re.compile(r"GET /api/v1/events")),
    Class(DEVICES.name, re.compile(r"[A-Z]+ /api/v1/devices(/.*)?")),
    Class(INFERENCE.name, re.compile(r"[A-Z]+ /v2/.*")),
)

Counted = tuple[str, Allowance]


class Asked(NamedTuple):
    """What the edge knows of a request before the application sees it."""

    method: str
    path: str
    query: bytes = b""


def class_of(asked: Asked, roles: tuple[str, ...]) -> str:
    """Return the policy that a user's request is counted under."""
    line = f"{asked.method} {asked.path}"
    for policy, route, only_role, only_query in CLASSES:
        if only_role is not None and roles != (only_role,):
            continue
        # A name may be written with escapes: what the application reads counts.
        if route.fullmatch(line) is not None and only_query in unquote_to_bytes(asked.query):
            return policy
    return AUTHENTICATED.name


class Limiter(Protocol):
    """Counts requests; `helix_ray.core.limits` holds the rules,
    serve_app/edge/limiter.py one that keeps them."""

    async def take(self, key: str, policy: str) -> Allowance:
        """Count one request of a caller; raise Refused (SERVICE_UNAVAILABLE) when it cannot be counted."""
        ...

    def peek(self, key: str, policy: str) -> Allowance:
        """Say what is known here without counting."""
        ...


@dataclass(frozen=True, slots=True)
class Admission:
    """What the limiter said: the policies that apply, the binding one last, and the refusal if there is one.

    stream: whose long answer this is going to be; None for a short one.
    """

    counted: tuple[Counted, ...]
    refusal: Rejected | None = None
    stream: str | None = None

    @property
    def allowance(self) -> Allowance:
        """What the policy that binds has left."""
        return self.counted[-1][1]

    def headers(self) -> list[Header]:
        """The rate-limit headers of the answer."""
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
    """Decides which policies a request falls under and asks the limiter."""

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

    async def admit(self, asked: Asked, address: str, claims: Claims | None) -> Admission:
        """Count a request: under its user and class when the token verifies, else under its address."""
        if claims is not None:
            policy, key = class_of(asked, claims.roles), claims.user_id
        else:
            policy, key = ANONYMOUS.name, address
        if asked.path in self._exempt_paths:
            return Admission(((policy, self._limiter.peek(key, policy)),))
        counted: list[Counted] = []
        strict = self._strict_paths.get(asked.path)
        try:
            if strict is not None:
                counted.append((strict, await self._limiter.take(address, strict)))
            if not counted or counted[0][1].allowed:
                counted.append((policy, await self._limiter.take(key, policy)))
        except Refused as refused:
            return Admission(((policy, self._limiter.peek(key, policy)),), refused.rejected)
        binding = counted[-1]
        refusal = None if binding[1].allowed else _refusal(*binding)
        return Admission(tuple(counted), refusal, key if policy == STREAMS.name else None)


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
