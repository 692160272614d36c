"""Rate limits at the edge: who is counted under which policy, and the headers that say so on every answer.

`X-RateLimit-*` as the API reference has them (Reset in epoch seconds); `RateLimit` and `RateLimit-Policy` as in the
IETF draft draft-ietf-httpapi-ratelimit-headers-11, where `t` is seconds until more quota is available.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from helix_ray.core.errors import ErrorCode, Refused, Rejected
from helix_ray.core.limits import ANONYMOUS, AUTHENTICATED, LOGIN, Allowance
from helix_ray.security.tokens import Claims
from serve_app.edge.headers import Header

# Not counted: probes and scrapers must not be locked out, nor eat what their address may use.
EXEMPT_PATHS = frozenset({"/healthz", "/readyz", "/metrics"})
# Counted per client address under a stricter policy as well.
STRICT_PATHS: Mapping[str, str] = {"/api/v1/auth/login": LOGIN.name}

Counted = tuple[str, Allowance]


class Limiter(Protocol):
    """Counts requests; `helix_ray.core.limits` holds the rules, serve_app/edge/limiter.py one that keeps them."""

    async def take(self, key: str, policy: str) -> Allowance:
        """Count one request of a caller; raise Refused (SERVICE_UNAVAILABLE) when it cannot be counted."""
        ...

    def peek(self, key: str, policy: str) -> Allowance:
        """Say what is known here without counting."""
        ...


@dataclass(frozen=True, slots=True)
class Admission:
    """What the limiter said: the policies that apply, the binding one last, and the refusal if there is one."""

    counted: tuple[Counted, ...]
    refusal: Rejected | None = None

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

    async def admit(self, path: str, address: str, claims: Claims | None) -> Admission:
        """Count a request: under its user when the token verifies, else under its address."""
        policy, key = (
            (AUTHENTICATED.name, claims.user_id) if claims is not None else (ANONYMOUS.name, address)
        )
        if path in self._exempt_paths:
            return Admission(((policy, self._limiter.peek(key, policy)),))
        counted: list[Counted] = []
        strict = self._strict_paths.get(path)
        try:
            if strict is not None:
                counted.append((strict, await self._limiter.take(address, strict)))
            if not counted or counted[0][1].allowed:
                counted.append((policy, await self._limiter.take(key, policy)))
        except Refused as refused:
            return Admission(((policy, self._limiter.peek(key, policy)),), refused.rejected)
        binding = counted[-1]
        return Admission(tuple(counted), None if binding[1].allowed else _refusal(*binding))


def _refusal(policy: str, allowance: Allowance) -> Rejected:
    return Rejected(
        ErrorCode.RATE_LIMIT_EXCEEDED,
        "Too many requests",
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
