"""The calls about users and API tokens, as a part of the client."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol


class _Call(Protocol):
    def __call__(self, method: str, path: str, body: Any = None, **params: Any) -> Any: ...


class AccountCalls:
    """What a client can do about accounts; `_call` sends a request as the user who is signed in."""

    _call: _Call

    def users(self) -> list[dict[str, Any]]:
        """Return all users."""
        users: list[dict[str, Any]] = self._call("GET", "/users")["users"]
        return users

    def add_user(self, username: str, password: str, roles: Iterable[str]) -> dict[str, Any]:
        """Add a user."""
        body = {"username": username, "password": password, "roles": [*roles]}
        user: dict[str, Any] = self._call("POST", "/users", body)
        return user

    def change_roles(self, username: str, roles: Iterable[str]) -> dict[str, Any]:
        """Give a user other roles."""
        user: dict[str, Any] = self._call("PUT", f"/users/{username}/roles", {"roles": [*roles]})
        return user

    def remove_user(self, username: str) -> None:
        """Remove a user; their sessions and API tokens end."""
        self._call("DELETE", f"/users/{username}")

    def create_token(
        self,
        name: str,
        *,
        roles: Iterable[str] | None = None,
        projects: Iterable[str] | None = None,
        expires_in_s: int | None = None,
    ) -> dict[str, Any]:
        """Make an API token; its `token` is in this answer only. Without roles it has all of one's own."""
        body: dict[str, Any] = {"name": name}
        if roles is not None:
            body["roles"] = [*roles]
        if projects is not None:
            body["projects"] = [*projects]
        if expires_in_s is not None:
            body["expires_in_s"] = expires_in_s
        made: dict[str, Any] = self._call("POST", "/auth/tokens", body)
        return made

    def tokens(self, user: str | None = None) -> list[dict[str, Any]]:
        """Return one's own API tokens; to an administrator, those of everybody or of one user."""
        tokens: list[dict[str, Any]] = self._call("GET", "/auth/tokens", user=user)["tokens"]
        return tokens

    def revoke_token(self, token_id: str) -> None:
        """End an API token."""
        self._call("DELETE", f"/auth/tokens/{token_id}")
