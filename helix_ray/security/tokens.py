"""Access tokens (JWT, HS256 and nothing else) and refresh tokens (opaque).

The rules are those of RFC 8725: one algorithm, the key named by `kid` from our own ring only, no header that
brings a key or an extension along, every claim required and checked. Whether the session still exists is not
checked here: the caller looks up `session_id`.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import jwt

from helix_ray.core.ended import refusal
from helix_ray.core.errors import ErrorCode, Refused, Rejected
from helix_ray.core.iso_times import EPOCH_MAX
from helix_ray.security.keys import KeyRing, load_or_create_key

__all__ = [
    "Claims",
    "KeyRing",
    "TokenIssuer",
    "hash_refresh",
    "load_or_create_key",
    "make_refresh",
    "next_refresh",
]

ALGORITHM: Final = "HS256"
ISSUER: Final = "helix-ray"
AUDIENCE: Final = "helix-ray-api"
CLAIMS: Final = ["iss", "aud", "sub", "name", "roles", "sid", "jti", "iat", "exp"]
HEADERS: Final = frozenset({"alg", "kid", "typ"})
TOKENS_CACHED_MAX = 4_096
TOKEN_CHARS_MAX = 4_096
CLOCK_SKEW_S_MAX = 60
REFRESH_BYTES = 32

# PyJWT checks signature and audience; times are checked here, against the given clock.
_OPTIONS: Final[Any] = {"require": CLAIMS, "strict_aud": True, "verify_exp": False, "verify_iat": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """The claims of a verified token; times are epoch seconds."""

    user_id: str
    name: str
    roles: tuple[str, ...]
    session_id: str
    token_id: str
    issued_at: int
    expires_at: int
    # The hash of an API token (helix_ray/security/api_tokens.py), which has no session.
    token_hash: str = field(default="", repr=False)


class TokenIssuer:
    """Issues and verifies access tokens, and caches the last few thousand that it verified."""

    def __init__(
        self,
        keys: KeyRing,
        *,
        clock: Callable[[], float] = time.time,
        tokens_cached_max: int = TOKENS_CACHED_MAX,
    ) -> None:
        self._keys = keys
        self._clock = clock
        self._cached_max = tokens_cached_max
        self._verified: OrderedDict[str, Claims] = OrderedDict()

    def issue(
        self,
        *,
        user_id: str,
        name: str,
        roles: Sequence[str],
        session_id: str,
        ttl_s: int,
        token_id: str | None = None,
        issued_at: float | None = None,
    ) -> tuple[str, Claims]:
        """Sign a token that is valid for ttl_s seconds from now, or from issued_at.

        Without token_id (jti) one is generated; with both given, the token is always the same.
        """
        issued_at = int(self._clock() if issued_at is None else issued_at)
        token_id = token_id or secrets.token_urlsafe(12)
        claims = Claims(
            user_id=user_id,
            name=name,
            roles=tuple(roles),
            session_id=session_id,
            token_id=token_id,
            issued_at=issued_at,
            expires_at=issued_at + ttl_s,
        )
        payload = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": user_id,
            "name": name,
            "roles": list(roles),
            "sid": session_id,
            "jti": token_id,
            "iat": issued_at,
            "exp": claims.expires_at,
        }
        kid = self._keys.current
        return jwt.encode(payload, self._keys.secrets[kid], ALGORITHM, headers={"kid": kid}), claims

    def verify(self, token: str) -> Claims:
        """Return the token's claims; raise Refused (UNAUTHORIZED) unless it meets every
        rule and has not expired."""
        claims = self._verified.get(token)
        if claims is None:
            claims = self._decode(token)
            self._verified[token] = claims
            if len(self._verified) > self._cached_max:
                self._verified.popitem(last=False)
        else:
            self._verified.move_to_end(token)
        if claims.expires_at <= self._clock():
            del self._verified[token]
            raise Refused(refusal("expired", claims.expires_at))
        return claims

    def _decode(self, token: str) -> Claims:
        if len(token) > TOKEN_CHARS_MAX:
            raise _unauthorized("Invalid token", "too_long")
        try:
            _check_form(token)
            kid = self._key_id(jwt.get_unverified_header(token))
            payload = jwt.decode(
                token,
                self._keys.secrets[kid],
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                issuer=ISSUER,
                options=_OPTIONS,
            )
        except (jwt.InvalidTokenError, ValueError, RecursionError) as error:
            raise _unauthorized("Invalid token", "invalid") from error
        return self._claims(payload)

    def _key_id(self, header: dict[str, Any]) -> str:
        kid = header.get("kid")
        if (
            header.get("alg") != ALGORITHM
            or header.get("typ", "JWT") != "JWT"
            or not header.keys() <= HEADERS
        ):
            raise _unauthorized("Invalid token", "header")
        if not isinstance(kid, str) or kid not in self._keys.secrets:
            raise _unauthorized("Invalid token", "unknown_key")
        return kid

    def _claims(self, payload: dict[str, Any]) -> Claims:
        texts = [payload[name] for name in ("sub", "name", "sid", "jti")]
        times = [payload[name] for name in ("iat", "exp")]
        roles = payload["roles"]
        well_formed = (
            all(isinstance(text, str) for text in texts)
            and all(type(moment) is int and 0 <= moment <= EPOCH_MAX for moment in times)
            and isinstance(roles, list)
            and "nbf" not in payload  # which no token of ours has
            and all(isinstance(role, str) for role in roles)
        )
        if not well_formed:
            raise _unauthorized("Invalid token", "claims")
        user_id, name, session_id, token_id = texts
        issued_at, expires_at = times
        if issued_at > self._clock() + CLOCK_SKEW_S_MAX:
            raise _unauthorized("Invalid token", "issued_in_future")
        return Claims(
            user_id=user_id,
            name=name,
            roles=tuple(roles),
            session_id=session_id,
            token_id=token_id,
            issued_at=issued_at,
            expires_at=expires_at,
        )


def make_refresh() -> str:
    """Make an opaque refresh token of 32 random bytes; only its hash is ever stored."""
    return secrets.token_urlsafe(REFRESH_BYTES)


def next_refresh(secret: bytes, present: str) -> str:
    """Return the refresh token after `present`: always the same, and unpredictable without the secret."""
    digest = hmac.digest(secret, b"refresh\0" + present.encode("utf-8", "surrogatepass"), hashlib.sha256)
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def hash_refresh(token: str) -> str:
    """Return the SHA-256 in hex, which is safe for a token of 256 random bits."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _check_form(token: str) -> None:
    """Raise ValueError unless the token is the only way to write what it says: every part in canonical
    base64url without padding, and no name twice in the header or the claims."""
    parts = token.split(".")
    if len(parts) != 3:
        raise ValueError("a token has three parts")
    decoded = [base64.b64decode(part + "=" * (-len(part) % 4), b"-_", validate=True) for part in parts]
    if [base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in decoded] != parts:
        raise ValueError("not canonical base64url")
    for part in decoded[:2]:
        # As text: of bytes, json would read UTF-16 and UTF-32, too.
        json.loads(part.decode(), object_pairs_hook=_once)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name appears twice")
    return found


def _unauthorized(message: str, reason: str) -> Refused:
    return Refused(Rejected(ErrorCode.UNAUTHORIZED, message, {"reason": reason}))
