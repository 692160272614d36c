"""The client's calls about API tokens."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from helix_ray.client.session import ClientSession

if TYPE_CHECKING:
    from helix_ray.wire.tokens import TokenIn, TokenMadeOut, TokenOut


class TokenCalls:
    """The client's methods for API tokens; answers are the dicts of docs/api.md."""

    _session: ClientSession

    def create_token(
        self,
        name: str,
        *,
        roles: Iterable[str] | None = None,
        projects: Iterable[str] | None = None,
        expires_in_s: int | None = None,
    ) -> TokenMadeOut:
        """Create an API token; only this answer contains its `token`. Without roles
        it has all of one's own."""
        body: TokenIn = {"name": name}
        if roles is not None:
            body["roles"] = [*roles]
        if projects is not None:
            body["projects"] = [*projects]
        if expires_in_s is not None:
            body["expires_in_s"] = expires_in_s
        made: TokenMadeOut = self._session.call("POST", "/auth/tokens", body)
        return made

    def tokens(self, user: str | None = None) -> list[TokenOut]:
        """Return one's own API tokens; for administrators, those of all users or of one."""
        tokens: list[TokenOut] = self._session.call("GET", "/auth/tokens", user=user)["tokens"]
        return tokens

    def revoke_token(self, token_id: str) -> None:
        """Revoke an API token."""
        self._session.call("DELETE", f"/auth/tokens/{token_id}")
