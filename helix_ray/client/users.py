"""The client's calls about users."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from helix_ray.client.session import ClientSession

if TYPE_CHECKING:
    from helix_ray.wire.users import UserOut


class UserCalls:
    """The client's methods for users; answers are the dicts of docs/api.md."""

    _session: ClientSession

    def users(self) -> list[UserOut]:
        """Return all users."""
        users: list[UserOut] = self._session.call("GET", "/users")["users"]
        return users

    def add_user(self, username: str, password: str, roles: Iterable[str]) -> UserOut:
        """Add a user."""
        body = {"username": username, "password": password, "roles": [*roles]}
        user: UserOut = self._session.call("POST", "/users", body)
        return user

    def change_roles(self, username: str, roles: Iterable[str]) -> UserOut:
        """Set the roles of a user."""
        user: UserOut = self._session.call("PUT", f"/users/{username}/roles", {"roles": [*roles]})
        return user

    def remove_user(self, username: str) -> None:
        """Remove a user; their sessions and API tokens end."""
        self._session.call("DELETE", f"/users/{username}")
