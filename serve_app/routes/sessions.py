"""Logins: a password is exchanged for an access token and a refresh token of a session, which
can be ended at any time.

The tokens of a refresh are derived from the exchanged token, the state and the server's secret. So two tabs
that refresh at the same time get the same answer from any replica, and no token is stored.

Idempotency-Key: a login ignores it, because its answer contains secrets and a second login does
no harm. A refresh can be repeated for ten minutes with a key, for 30 seconds without one. A
second logout changes nothing.
"""

from __future__ import annotations

import math
import time
from dataclasses import replace

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from helix_ray.core.access import ANONYMOUS_ID, SYSTEM, Principal
from helix_ray.core.decide.sessions import REFRESH_REFUSED
from helix_ray.core.ended import MESSAGES
from helix_ray.core.errors import ErrorCode, Refused, Rejected, forbidden
from helix_ray.core.orders import (
    ChangePassword,
    CloseSession,
    OpenSession,
    Order,
    RefreshSession,
    Refusal,
)
from helix_ray.core.orders.kind import Data, OrderKind
from helix_ray.core.origin import Origin
from helix_ray.core.questions import GetUser, SignIn
from helix_ray.core.views.sessions import SignInView
from helix_ray.core.views.users import UserView
from helix_ray.security.password_rules import check_rules
from helix_ray.security.tokens import hash_refresh, make_refresh, next_refresh
from helix_ray.wire import sessions as shapes
from helix_ray.wire import users
from helix_ray.wire.ids import fingerprint, new_seed
from helix_ray.wire.times import iso
from serve_app.answers import json_answer, no_content
from serve_app.bodies import read
from serve_app.deps import Services, SignedIn, address_of, key_of, origin_of, services_of
from serve_app.openapi import public, verb
from serve_app.problems import request_id_of

REFUSED = Rejected(ErrorCode.UNAUTHORIZED, "Invalid username or password", {"reason": "credentials"})

router = APIRouter(prefix="/auth", tags=["auth"])


@router.post("/login", **public(body=shapes.LoginIn, answers=shapes.LoginOut))
async def login(request: Request) -> Response:
    """Open a session. Answer and response time do not tell an unknown user from a wrong password."""
    services = services_of(request)
    key_of(request)
    sent = (await read(request)).validated(shapes.LOGIN, "login")
    user = await _authenticated(request, sent["username"], sent["password"])
    if user is None:
        raise Refused(REFUSED)
    refresh, now = make_refresh(), time.time()
    refresh_ends = now + services.settings.refresh_ttl_s
    session_id = f"session-{new_seed()}"
    body = OpenSession(user["id"], session_id, hash_refresh(refresh), refresh_ends)
    origin = replace(origin_of(request), credential=session_id)
    receipt = await services.execute(_order(request, body, origin))
    answer = _tokens(services, user, session_id, refresh, refresh_ends)
    evicted = receipt.data.get("evicted")
    if evicted:
        # The limit of sessions was reached: the answer says how many older ones were ended.
        answer["sessions_ended"] = [{"reason": "evicted", "opened_at": iso(opened)} for opened in evicted]
    return json_answer(answer, 200, receipt)


async def _authenticated(
    request: Request, username: str, password: str, by: Principal | None = None
) -> UserView | None:
    """Return the user, or None for a wrong name or password, in the same time; what is refused is recorded.

    Raises Refused (RATE_LIMIT_EXCEEDED) without looking at the password after too many failures.
    """
    services = services_of(request)
    found = await services.control.query(SignIn(username, address_of(request)), SYSTEM)
    if isinstance(found, Rejected):
        raise Refused(found)
    wait_s = math.ceil(found["wait_s"])
    if wait_s:
        await _note_refusal(request, found, "backoff", by)
        raise Refused(_slowed(wait_s))
    user = found["user"]
    if await services.passwords.verify(user["password_hash"] if user else None, password):
        return user
    await _note_refusal(request, found, "credentials", by)
    return None


def _slowed(wait_s: int) -> Rejected:
    details = {"reason": "backoff", "retry_after_s": wait_s}
    return Rejected(
        ErrorCode.RATE_LIMIT_EXCEEDED, f"Too many failed sign-ins. Try again in {wait_s} s", details
    )


def _order(request: Request, body: OrderKind[Data], origin: Origin) -> Order[Data]:
    """Put an order into the envelope of the system, which acts for a user who is not logged in."""
    return Order(body, SYSTEM, request_id_of(request.scope), new_seed(), origin=origin)


async def _note_refusal(request: Request, found: SignInView, reason: str, by: Principal | None) -> None:
    """Record a refused sign-in in the audit; a wrong password makes the next one wait."""
    refusal = Refusal(
        "login",
        reason,
        found["name"],
        author=ANONYMOUS_ID if by is None else by.id,
        request_id=request_id_of(request.scope),
        origin=origin_of(request, by),
        account=found["account"] if reason == "credentials" else "",
    )
    await services_of(request).refusals.noted(refusal)


def _tokens(
    services: Services,
    user: users.UserBrief,
    session_id: str,
    refresh: str,
    refresh_ends: float,
    refreshed_at: float | None = None,
) -> shapes.LoginOut:
    """Return the answer with both tokens; after a refresh it is derived from the state and the key alone."""
    token, claims = services.tokens.issue(
        user_id=user["id"],
        name=user["username"],
        roles=user["roles"],
        session_id=session_id,
        ttl_s=services.settings.token_ttl_s,
        token_id=None if refreshed_at is None else hash_refresh(refresh)[:16],
        issued_at=refreshed_at,
    )
    return {
        "token": token,
        "expires_at": iso(claims.expires_at),
        "refresh_token": refresh,
        "refresh_expires_at": iso(refresh_ends),
        "user": {"id": user["id"], "username": user["username"], "roles": list(user["roles"])},
    }


@router.post("/refresh", **public(body=shapes.RefreshIn, answers=shapes.LoginOut))
async def refresh_tokens(request: Request) -> Response:
    """Exchange a refresh token. It can be repeated for 30 s with the same answer; later it counts as stolen,
    and its session is ended."""
    services = services_of(request)
    key = key_of(request)
    present = (await read(request)).validated(shapes.REFRESH, "refresh")["refresh_token"]
    present_hash = hash_refresh(present)
    ends = time.time() + services.settings.refresh_ttl_s
    body = RefreshSession(present_hash, hash_refresh(next_refresh(services.secrets[0], present)), ends)
    order = _order(request, body, origin_of(request))
    if key is not None:
        # "~": kept for minutes, as long as someone may still repeat the request. Keys stand in the headers of
        # facts, where hashes of tokens must not: so this is the hash of a hash.
        hashed = fingerprint(present_hash.encode())
        order = replace(order, key=f"~refresh:{hashed}:{key}", fingerprint=hashed)
    receipt = await services.execute(order)
    data = receipt.data
    if "refused" in data:
        services.sessions.forget()
        details = {"reason": data["reason"], "ended_at": data["ended_at"]}
        raise Refused(Rejected(ErrorCode.UNAUTHORIZED, MESSAGES[data["reason"]], details))
    following = _as_answered(services, present, data["next_hash"])
    user: users.UserBrief = {"id": data["user_id"], "username": data["username"], "roles": data["roles"]}
    answer = _tokens(services, user, data["session_id"], following, data["expires_at"], data["refreshed_at"])
    return json_answer(answer, 200, receipt)


def _as_answered(services: Services, present: str, next_hash: str) -> str:
    """Return the token whose hash the state has as the next one; the signing key may have changed since."""
    for secret in services.secrets:
        following = next_refresh(secret, present)
        if hash_refresh(following) == next_hash:
            return following
    raise Refused(REFRESH_REFUSED)


@router.post("/logout", **verb("CloseSession", status=204))
async def logout(caller: SignedIn) -> Response:
    """End this session, on every replica within a second."""
    await read(caller.request, optional=True)
    # Without the client's key: after the logout no session is left that could ask for the receipt.
    order = replace(caller.order(CloseSession(caller.by.session or "")), key=None, fingerprint="")
    receipt = await caller.services.execute(order)
    caller.services.sessions.forget()
    return no_content(receipt)


@router.get("/me", **verb("GetUser", answers=users.UserOut))
async def get_me(caller: SignedIn) -> Response:
    """Return the user who is logged in."""
    return json_answer(users.user_out(await caller.query(GetUser(user_id=caller.by.id))))


@router.put("/password", **verb("ChangePassword", body=users.PasswordIn, status=204))
async def change_password(caller: SignedIn) -> Response:
    """Change one's own password; all other sessions of the user end."""
    sent = (await read(caller.request)).validated(users.PASSWORD, "password")
    services = caller.services
    if await _authenticated(caller.request, caller.by.name, sent["current_password"], caller.by) is None:
        raise Refused(forbidden("The current password is wrong", field="current_password"))
    broken = check_rules(
        sent["new_password"], username=caller.by.name, chars_min=services.settings.password_chars_min
    )
    if broken is not None:
        raise Refused(broken)
    hashed = await services.passwords.hash(sent["new_password"])
    receipt = await caller.execute(ChangePassword(caller.by.id, hashed))
    services.sessions.forget()
    return no_content(receipt)
