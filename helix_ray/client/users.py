"""The client's calls about users."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from helix_ray.client.session import ClientSession


class UserCalls:
    """The client's methods for users; answers are the dicts of docs/api.md."""

    _session: ClientSession

    def users(self) -> list[dict[str, Any]]:
        """Return all users."""
        users: list[dict[str, Any]] = self._session.call("GET", "/users")["users"]
        return users

    def add_user(self, username: str, password: str, roles: Iterable[str]) -> dict[str, Any]:
        """Add a user."""
        body = {"username": username, "password": password, "roles": [*roles]}
        user: dict[str, Any] = self._session.call("POST", "/users", body)
        return user

    def change_roles(self, username: str, roles: Iterable[str]) -> dict[str, Any]:
        """Set the roles of a user."""
        user: dict[str, Any] = self._session.call("PUT", f"/users/{username}/roles", {"roles": [*roles]})
        return user

    def remove_user(self, username: str) -> None:
        """Remove a user; their sessions and API tokens end."""
        self._session.call("DELETE", f"/users/{username}")
