"""The server and the login that a command uses.

HELIX_TOKEN with HELIX_URL where it is set (CI), else the login of `helix login`. A token is sent only to
the server that issued it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from helix_ray.cli.habits import address
from helix_ray.cli.session_file import SessionFile
from helix_ray.client.errors import NotSignedIn

if TYPE_CHECKING:
    from helix_ray.client.api import Client
    from helix_ray.client.tokens import TokenStore
    from helix_ray.client.transport import Answered

DEFAULT_URL = "http://127.0.0.1:8080"
# Somebody waits at a terminal, so this is shorter than the library's minute. Commands
# that wait use that minute.
RETRY_S_DEFAULT = 5.0
RETRY_S_WAITING = 60.0
# The client of the command that runs.
_opened: list[Client] = []


def make_client(
    url: str, token: str | None, store: TokenStore | None, ca_file: str | None, retry_s: float
) -> Client:
    """Return a client; it is imported here because httpx takes longer to load than
    `helix --help` takes in all."""
    from helix_ray.client.api import Client
    from helix_ray.client.transport import Retries

    retries = Retries(total_s_max=_retry_s(retry_s))
    cert, key = os.environ.get("HELIX_CLIENT_CERT"), os.environ.get("HELIX_CLIENT_KEY")
    client = Client(
        url,
        token,
        store=store,
        retries=retries,
        verify=ca_file or os.environ.get("HELIX_CA_FILE") or True,
        cert=(cert, key or cert) if cert else None,
    )
    _opened[:] = [client]
    return client


def last_answer() -> tuple[str, Answered] | None:
    """Return the server of the command that runs, and what it answered last; None where it answered nothing
    yet."""
    for client in _opened:
        if client.answered is not None:
            return client.url, client.answered
    return None


def forget() -> None:
    """Begin a command: nothing is answered yet."""
    _opened.clear()


def _retry_s(default: float) -> float:
    text = os.environ.get("HELIX_RETRY_S")
    try:
        return float(text) if text else default
    except ValueError:
        return default


def connect(*, waiting: bool = False) -> Client:
    """Return a client with the current login; raises NotSignedIn."""
    retry_s = RETRY_S_WAITING if waiting else RETRY_S_DEFAULT
    stated, token = os.environ.get("HELIX_URL"), os.environ.get("HELIX_TOKEN")
    url = address(stated) if stated else None
    if token:
        return make_client(url or DEFAULT_URL, token, None, None, retry_s)
    file = SessionFile()
    login = file.read()
    if login is None:
        raise NotSignedIn("UNAUTHORIZED", "Not logged in; run: helix login")
    if url and url.rstrip("/") != login.url.rstrip("/"):
        message = f"Logged in to {login.url}, not to {url}; run: helix login --url {url}"
        raise NotSignedIn("UNAUTHORIZED", message)
    return make_client(login.url, None, file, login.ca_file, retry_s)
