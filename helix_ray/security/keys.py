"""The keys that sign tokens: a small ring in a file that only its owner can read.

File format: JSON {"current": kid, "keys": {kid: base64url secret}}. An old key stays in the ring until the
tokens that it signed have expired.
"""

from __future__ import annotations

import base64
import contextlib
import os
import secrets
import stat
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from helix_ray.durable import sync

KEY_FILE = "jwt.key"
# The ring of the journal, which authenticates its HEAD.
HEAD_KEY_FILE = "journal.key"
SECRET_BYTES = 32
KEY_FILE_BYTES_MAX = 64 * 1024


class KeyFileUnsafe(Exception):
    """The key file can be read by others, belongs to another user, or does not contain keys."""


@dataclass(frozen=True, slots=True)
class KeyRing:
    """Secrets by key id, and the id that signs; secrets are not shown in the repr."""

    current: str
    secrets: dict[str, bytes] = field(repr=False)

    def __post_init__(self) -> None:
        if self.current not in self.secrets:
            raise ValueError(f"the current key {self.current} is not in the key ring")
        if any(len(secret) < SECRET_BYTES for secret in self.secrets.values()):
            raise ValueError(f"an HS256 secret must have at least {SECRET_BYTES} bytes (RFC 7518, 3.2)")

    @classmethod
    def fresh(cls) -> KeyRing:
        """Make a ring with one random key."""
        kid = secrets.token_hex(4)
        return cls(kid, {kid: secrets.token_bytes(SECRET_BYTES)})


def load_or_create_key(data_dir: Path, file: str = KEY_FILE) -> KeyRing:
    """Read a key ring in a data directory, or make it at the first start (mode 0600).

    The ring for tokens may be rotated or deleted; the journal's must not, so it has a separate file. Raises
    KeyFileUnsafe, with instructions, when others can read the file or it does not contain keys.
    """
    path = data_dir / file
    if not path.exists():
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        _create(path, KeyRing.fresh())
    return _load(path)


def replace_key(data_dir: Path, file: str) -> None:
    """Replace a key ring by one with a fresh key; the old secrets are gone."""
    draft = _draft(data_dir / file, KeyRing.fresh())
    draft.replace(data_dir / file)
    sync(data_dir)


def _create(path: Path, ring: KeyRing) -> None:
    """Create the file atomically: a second process that starts at the same time
    uses the keys of the first."""
    draft = _draft(path, ring)
    try:
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()
    sync(path.parent)


def _draft(path: Path, ring: KeyRing) -> Path:
    """Write a key file beside its place, durable."""
    named = {kid: base64.urlsafe_b64encode(secret).decode() for kid, secret in ring.secrets.items()}
    draft = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(orjson.dumps({"current": ring.current, "keys": named}))
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        draft.unlink()
        raise
    return draft


def _load(path: Path) -> KeyRing:
    with path.open("rb") as file:
        found = os.fstat(file.fileno())
        if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise KeyFileUnsafe(
                f"{path} can be read by other users (mode {stat.S_IMODE(found.st_mode):04o}); run: "
                f"chmod 600 {path}; "
                f"if someone may have read it, delete it instead: all sessions end and a new key is created"
            )
        if found.st_uid != os.geteuid():
            raise KeyFileUnsafe(
                f"{path} belongs to user id {found.st_uid}, but Helix Ray runs as user id {os.geteuid()}"
            )
        body = file.read(KEY_FILE_BYTES_MAX)
    try:
        content = orjson.loads(body)
        named = {kid: base64.urlsafe_b64decode(secret) for kid, secret in content["keys"].items()}
        return KeyRing(content["current"], named)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise KeyFileUnsafe(
            f"{path} does not contain signing keys; restore it, or delete it to end all sessions"
        ) from error
