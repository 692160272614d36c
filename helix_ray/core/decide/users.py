"""Orders about users. They contain only hashes of passwords."""

from __future__ import annotations

from helix_ray.core.access import ROLES
from helix_ray.core.decide.outcome import Context, Decider, Decision
from helix_ray.core.errors import Rejected, conflict, forbidden, invalid, not_found
from helix_ray.core.events import (
    PasswordChanged,
    RolesChanged,
    UserCreated,
    UserRemoved,
)
from helix_ray.core.orders import (
    ChangePassword,
    ChangeRoles,
    CreateUser,
    RemoveUser,
)
from helix_ray.core.orders.kind import IdData
from helix_ray.core.usernames import check_username, find_user_id
from helix_ray.core.visibility import administers


def create_user(body: CreateUser, ctx: Context) -> Decision[IdData] | Rejected:
    """Add a user with known roles and an unused name; names that differ only in case are equal."""
    refusal = _check_roles(body.roles) or check_username(body.username)
    if refusal is not None:
        return refusal
    known = find_user_id(ctx.state, body.username)
    if known is not None:
        if body.only_if_missing:
            return Decision([], {"id": known})
        return conflict(
            "This username is already in use", field="username", taken=ctx.state.users[known].username
        )
    user_id = f"user-{ctx.order.seed}"
    created = UserCreated(user_id, body.username, body.password_hash, list(body.roles))
    return Decision([created], {"id": user_id})


def remove_user(body: RemoveUser, ctx: Context) -> Decision[IdData] | Rejected:
    """Remove a user; oneself and the last administrator cannot be removed."""
    user_id = find_user_id(ctx.state, body.username)
    if user_id is None:
        return not_found("User", body.username)
    if user_id == ctx.order.by.id:
        return conflict("You cannot remove yourself", username=body.username)
    if _is_last_admin(ctx, user_id):
        return _last_admin(ctx, user_id)
    return Decision([UserRemoved(user_id)], {"id": user_id})


def change_roles(body: ChangeRoles, ctx: Context) -> Decision[IdData] | Rejected:
    """Set a user's roles; the last administrator cannot lose that role."""
    user_id = find_user_id(ctx.state, body.username)
    if user_id is None:
        return not_found("User", body.username)
    refusal = _check_roles(body.roles)
    if refusal is not None:
        return refusal
    if "admin" not in body.roles and _is_last_admin(ctx, user_id):
        return _last_admin(ctx, user_id)
    if ctx.state.users[user_id].roles == body.roles:
        return Decision([], {"id": user_id})
    return Decision([RolesChanged(user_id, list(body.roles))], {"id": user_id})


def _check_roles(roles: tuple[str, ...]) -> Rejected | None:
    if not roles or not set(roles) <= set(ROLES):
        return invalid("Invalid role", field="roles", allowed_values=list(ROLES))
    return None


def _is_last_admin(ctx: Context, user_id: str) -> bool:
    return ctx.state.admins == {user_id}


def _last_admin(ctx: Context, user_id: str) -> Rejected:
    name = ctx.state.users[user_id].username
    return conflict("This is the last administrator. Give another user the admin role first", username=name)


def change_password(body: ChangePassword, ctx: Context) -> Decision[IdData] | Rejected:
    """Change one's own password, or any as an administrator; other sessions end."""
    by = ctx.order.by
    if body.user_id not in ctx.state.users:
        return not_found("User", body.user_id)
    if by.id != body.user_id and not administers(by):
        return forbidden("Only an administrator can change another user's password")
    kept = by.session if by.id == body.user_id else None
    return Decision([PasswordChanged(body.user_id, body.password_hash, kept)], {"id": body.user_id})


USER_ORDERS: dict[type, Decider] = {
    CreateUser: create_user,
    RemoveUser: remove_user,
    ChangeRoles: change_roles,
    ChangePassword: change_password,
}
