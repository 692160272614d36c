"""API tokens: for programs, instead of a login. Only the answer that creates a token contains it.

Idempotency-Key: with a key the token is derived from the key and the server's secret, so a repeated request
gets the same token within ten minutes; after that it is a CONFLICT, because a token is shown once.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from helix_ray.core.orders import CreateToken, RevokeToken
from helix_ray.core.questions import ListTokens
from helix_ray.core.views.tokens import TokenView
from helix_ray.security.api_tokens import derive_api_token, hash_api_token, make_api_token, shown_of
from helix_ray.wire import tokens as shapes
from serve_app.answers import json_answer, no_content
from serve_app.bodies import read
from serve_app.deps import Caller, SignedIn, key_of
from serve_app.openapi import verb

router = APIRouter(prefix="/auth/tokens", tags=["auth"])


@router.post("", **verb("CreateToken", body=shapes.TokenIn, answers=shapes.TokenMadeOut, status=201))
async def create_token(caller: SignedIn) -> Response:
    """Create a token with some of one's own roles, for some or all projects; only this answer shows it."""
    body = await read(caller.request)
    sent = body.validated(shapes.TOKEN, "token")
    key = key_of(caller.request)
    token = (
        make_api_token() if key is None else derive_api_token(caller.services.secrets[0], caller.by.id, key)
    )
    order = caller.order(_order(sent, token, caller.services.settings.api_token_ttl_s), body)
    if key is not None:
        order = replace(order, key=f"~api-token:{caller.by.id}:{key}")
    receipt = await caller.services.execute(order)
    made = await _find(caller, receipt.data["id"])
    return json_answer({**shapes.token_out(made), "token": token}, 201, receipt)


def _order(sent: shapes.TokenIn, token: str, ttl_s: int) -> CreateToken:
    roles, projects = sent.get("roles"), sent.get("projects")
    return CreateToken(
        sent["name"],
        hash_api_token(token),
        shown_of(token),
        float(sent.get("expires_in_s", ttl_s)),
        roles=None if roles is None else tuple(roles),
        projects=None if projects is None else tuple(projects),
    )


async def _find(caller: Caller, token_id: str) -> TokenView:
    listed = (await caller.query(ListTokens()))["tokens"]
    return next(token for token in listed if token["id"] == token_id)


@router.get("", **verb("ListTokens", answers=shapes.TokensOut, may_miss=True))
async def list_tokens(caller: SignedIn, query: Annotated[shapes.TokensQuery, Query()]) -> Response:
    """List one's own tokens; administrators list all, or those of `user`. Secrets are not shown."""
    answer = await caller.query(ListTokens(query.user))
    return json_answer({"tokens": [shapes.token_out(token) for token in answer["tokens"]]})


@router.delete("/{token_id}", **verb("RevokeToken", status=204))
async def revoke_token(token_id: str, caller: SignedIn) -> Response:
    """Revoke a token, on every replica within a second: one's own, or any as an administrator."""
    receipt = await caller.execute(RevokeToken(token_id))
    caller.services.sessions.forget()
    return no_content(receipt)
