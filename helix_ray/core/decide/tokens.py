"""Orders about API tokens: long-lived credentials of programs, each with a part of its owner's rights.

Orders contain only the SHA-256 of a token: it has 178 random bits, so it cannot be found from its hash.
"""

from __future__ import annotations

from helix_ray.core.access import ROLES, may_give
from helix_ray.core.decide.outcome import Context, Decider, Decision
from helix_ray.core.display_names import refuse_display_name
from helix_ray.core.errors import Rejected, conflict, invalid, not_found
from helix_ray.core.events import Event, TokenCreated, TokenRevoked, TokenUsed
from helix_ray.core.orders import CreateToken, NoteTokenUse, RevokeToken
from helix_ray.core.orders.kind import IdData, NoData
from helix_ray.core.state import ApiToken
from helix_ray.core.visibility import sees

# The prefix of all tokens, for secret scanners.
TOKEN_PREFIX = "helix_pat_"
TOKEN_NAME_CHARS_MAX = 128
TOKEN_PROJECTS_MAX = 100
TOKEN_TTL_S_MIN = 60
# A use is recorded only if the last recorded one is this old.
USE_NOTED_EVERY_S = 300.0


def create_token(body: CreateToken, ctx: Context) -> Decision[IdData] | Rejected:
    """Create a token with some of the caller's roles; expired tokens of theirs are removed first."""
    by = ctx.order.by
    if by.id not in ctx.state.users:
        return not_found("User", by.id)
    if body.token_hash in ctx.state.tokens_by_hash or body.token_hash in ctx.state.ended_by_hash:
        return conflict(
            "This request has already created a token, and a token is shown only once",
            field="Idempotency-Key",
        )
    mine = tokens_of(ctx, by.id)
    live = [token for token in mine if token.expires_at > ctx.now]
    refused = _check(body, ctx, len(live))
    if refused is not None:
        return refused
    token_id = f"token-{ctx.order.seed}"
    roles = list(dict.fromkeys(body.roles or by.roles))
    projects = None if body.projects is None else list(dict.fromkeys(body.projects))
    events: list[Event] = [TokenRevoked(token.id, "expired") for token in mine if token.expires_at <= ctx.now]
    expires_at = ctx.now + body.ttl_s
    events.append(
        TokenCreated(token_id, by.id, body.name, body.token_hash, body.shown, roles, projects, expires_at)
    )
    return Decision(events, {"id": token_id})


def _check(body: CreateToken, ctx: Context, live: int) -> Rejected | None:
    refused = refuse_display_name("token", body.name, TOKEN_NAME_CHARS_MAX)
    if refused is not None:
        return refused
    mine = [role for role in ROLES if may_give(ctx.order.by.roles, role)]
    if not set(body.roles or ()) <= set(mine):
        return invalid(
            "A token cannot have roles that its owner does not have", field="roles", allowed_values=mine
        )
    if body.projects is not None and not 0 < len(body.projects) <= TOKEN_PROJECTS_MAX:
        return invalid("Invalid token projects", field="projects", count_max=TOKEN_PROJECTS_MAX)
    longest = ctx.policy.api_token_ttl_s_max
    if not TOKEN_TTL_S_MIN <= body.ttl_s <= longest:
        message = f"Invalid token lifetime: it must be {TOKEN_TTL_S_MIN:g} to {longest:g} seconds"
        return invalid(message, field="expires_in_s", min=TOKEN_TTL_S_MIN, max=longest)
    if live >= ctx.policy.api_tokens_per_user_max:
        limit = ctx.policy.api_tokens_per_user_max
        return conflict("You have reached the maximum number of tokens: revoke one first", limit=limit)
    return None


def tokens_of(ctx: Context, user_id: str) -> list[ApiToken]:
    """Return the tokens of a user, the oldest first, without the credentials of devices."""
    ids = (each for each in ctx.state.tokens_of.get(user_id, ()) if each not in ctx.state.devices)
    return [ctx.state.tokens[token_id] for token_id in ids]


def revoke_token(body: RevokeToken, ctx: Context) -> Decision[IdData] | Rejected:
    """Revoke a token: one's own, or any as an administrator; for others it does not exist.

    A token that is restricted to projects can only revoke itself: others may have a wider scope.
    """
    token, by = ctx.state.tokens.get(body.token_id), ctx.order.by
    if token is None or token.id in ctx.state.devices or not sees(by, token):
        return not_found("Token", body.token_id)
    if by.projects is not None and token.id != by.token:
        return not_found("Token", body.token_id)
    return Decision([TokenRevoked(token.id, "revoked")], {"id": token.id})


def note_token_use(body: NoteTokenUse, ctx: Context) -> Decision[NoData]:
    """Record that a token is in use, unless that was recorded recently: every replica reports it."""
    token = ctx.state.tokens.get(body.token_id)
    if token is None or (token.last_used_at or 0.0) > ctx.now - USE_NOTED_EVERY_S:
        return Decision([], {})
    return Decision([TokenUsed(token.id)], {}, author=token.user_id)


TOKEN_ORDERS: dict[type, Decider] = {
    CreateToken: create_token,
    RevokeToken: revoke_token,
    NoteTokenUse: note_token_use,
}
