"""The login of the `helix` program: a JSON file that only its owner may read.

Several `helix` processes may share it. A refresh token works once, so it is exchanged under a lock.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson

from helix_ray.client.errors import NotSignedIn
from helix_ray.client.tokens import SessionTokens


def default_path() -> Path:
    """Return HELIX_SESSION_FILE, else helix-ray/session.json below XDG_CONFIG_HOME (~/.config)."""
    named = os.environ.get("HELIX_SESSION_FILE")
    if named:
        return Path(named).expanduser()
    home = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(home).expanduser() / "helix-ray" / "session.json"


@dataclass(frozen=True, slots=True)
class Login:
    """A login: the server, the user and the tokens. `ca_file` names CA certificates to trust in
    addition to the system's."""

    url: str
    username: str
    tokens: SessionTokens
    ca_file: str | None = None


class SessionFile:
    """The file; a TokenStore for the server it was made for."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or default_path()

    def read(self) -> Login | None:
        """Return the login, or None. Raises NotSignedIn for a file that others may
        read, or that is unreadable."""
        try:
            with self.path.open("rb") as file:
                if os.fstat(file.fileno()).st_mode & 0o077:
                    raise NotSignedIn(
                        "UNAUTHORIZED", f"{self.path} can be read by other users; run: chmod 600 {self.path}"
                    )
                kept: dict[str, Any] = orjson.loads(file.read())
            tokens = SessionTokens(**kept.pop("tokens"))
            return Login(tokens=tokens, **kept)
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError, OSError) as error:
            raise NotSignedIn("UNAUTHORIZED", f"{self.path} cannot be read ({error}); log in again") from None

    def write(self, login: Login) -> None:
        """Store a login. The file is replaced atomically, and has mode 0600 from the first byte."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, temporary = tempfile.mkstemp(dir=self.path.parent, prefix=".session-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(orjson.dumps(asdict(login), option=orjson.OPT_INDENT_2))
            os.replace(temporary, self.path)
        except BaseException:
            os.unlink(temporary)
            raise

    def remove(self) -> None:
        """Delete the login."""
        self.path.unlink(missing_ok=True)

    # TokenStore

    def load(self) -> SessionTokens | None:
        """Return the tokens, or None when nobody is logged in."""
        login = self.read()
        return login.tokens if login is not None else None

    def save(self, tokens: SessionTokens | None) -> None:
        """Store new tokens of the same login; None deletes it."""
        login = self.read()
        if tokens is None:
            self.remove()
        elif login is not None:
            self.write(Login(login.url, login.username, tokens, login.ca_file))

    def exchange(
        self, stale: SessionTokens, refresh: Callable[[SessionTokens], SessionTokens]
    ) -> SessionTokens:
        """Refresh stale tokens, only once even if many processes ask."""
        with self._locked():
            tokens = self.load()
            if tokens is None:
                raise NotSignedIn("UNAUTHORIZED", "You were logged out; run: helix login")
            if tokens == stale:
                tokens = refresh(stale)
                self.save(tokens)
            return tokens

    @contextmanager
    def _locked(self) -> Iterator[None]:
        lock = os.open(self.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)
