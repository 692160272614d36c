"""Users as questions are answered with them."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from helix_ray.core.state import User


class UserView(TypedDict):
    """One user; `password_hash` is there for the system only."""

    id: str
    username: str
    roles: list[str]
    created_at: float
    password_hash: NotRequired[str]


class UsersView(TypedDict):
    """All users."""

    users: list[UserView]


def user_view(user: User, *, secret: bool) -> UserView:
    """Return one user; the password hash only when `secret`."""
    view: UserView = {
        "id": user.id,
        "username": user.username,
        "roles": list(user.roles),
        "created_at": user.created_at,
    }
    if secret:
        view["password_hash"] = user.password_hash
    return view
