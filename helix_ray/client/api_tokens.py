"""The client's calls about API tokens and open sessions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from helix_ray.client.session import ClientSession

if TYPE_CHECKING:
    from helix_ray.wire.sessions import SessionOut
    from helix_ray.wire.tokens import TokenIn, TokenMadeOut, TokenOut


class TokenCalls:
    """The client's methods for API tokens and open sessions; answers are the dicts of docs/api.md."""

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

    def sessions(self, user: str | None = None) -> list[SessionOut]:
        """Return one's own open sessions, or those of a user (administrators)."""
        sessions: list[SessionOut] = self._session.call("GET", "/auth/sessions", user=user)["sessions"]
        return sessions

    def end_session(self, session_id: str) -> None:
        """End one session: one's own, or any as an administrator."""
        self._session.call("DELETE", f"/auth/sessions/{session_id}")

    def end_sessions(self, user: str | None = None) -> int:
        """End all one's own sessions, or those of a user (administrators); return how many."""
        return int(self._session.call("DELETE", "/auth/sessions", user=user)["ended"])
