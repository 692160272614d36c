"""HEAD: a signed note of the last fact that was acknowledged, kept beside the journal.

A journal whose newest rows are gone (a write-ahead log cut short, an old copy put back) looks sound to
SQLite. HEAD is how a start notices: it names the seq and hash that the journal must have.

The file has two slots, a page each, written in turn: a write that power loss tears leaves the other one. A
slot is one line, `{"seq":..,"hash":"..","epoch":..,"saved_at":..} <HMAC-SHA256, hex>`. `note` writes a slot
after each commit and leaves it to the kernel, so it outlives a killed process; `sync` makes it outlive power
loss. It is written after the commit is durable, so whatever HEAD says was acknowledged.
"""

from __future__ import annotations

import contextlib
import hmac
import logging
import os
from dataclasses import dataclass
from pathlib import Path

import orjson

from helix_ray.journal.errors import JournalDamaged

log = logging.getLogger(__name__)

SLOT_BYTES = 4096
SLOTS = 2


@dataclass(frozen=True, slots=True)
class Claim:
    """Fact `seq` has this hash (hex) and was acknowledged. `saved_at` is epoch seconds."""

    seq: int
    hash: str
    epoch: int
    saved_at: float


class HeadFile:
    """Reads and writes one HEAD file."""

    def __init__(self, path: Path, key: bytes) -> None:
        self._path = path
        self._key = key
        self._handle = -1
        self._turn = 0
        self._owed: Claim | None = None

    def read(self) -> Claim | None:
        """Return the farthest claim, or None without a file. Raises JournalDamaged
        when no slot's signature fits."""
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return None
        slots = [data[i * SLOT_BYTES : (i + 1) * SLOT_BYTES] for i in range(SLOTS)]
        claims = [claim for slot in slots if (claim := self._parse(slot)) is not None]
        if not claims:
            raise JournalDamaged(
                f"{self._path} was changed or signed with another key, so it cannot prove which facts were acknowledged. "
                f"Restore a backup of {self._path.parent}, or remove {self._path} to trust the journal as it is"
            )
        return max(claims, key=lambda claim: (claim.seq, claim.epoch))

    def start(self, claim: Claim) -> None:
        """Write a whole file with this claim, durable, and keep it open for notes."""
        draft = self._path.with_name(f".{self._path.name}.draft")
        handle = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        os.pwrite(handle, self._slot(claim) * SLOTS, 0)
        os.fsync(handle)
        draft.rename(self._path)
        directory = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        os.fsync(directory)
        os.close(directory)
        self._handle = handle

    def note(self, claim: Claim) -> None:
        """Write a claim whose fact is durable, into the slot that is not the newest.

        The fact is recorded whether or not this works, so a failure is left for `sync` to mend: until then a
        lost end of the journal would go unnoticed, which is no reason to end.
        """
        try:
            self._write(claim)
        except OSError as error:
            if self._owed is None:
                log.error("cannot write %s, retrying: %s", self._path.name, error)
            self._owed = claim

    def _write(self, claim: Claim) -> None:
        os.pwrite(self._handle, self._slot(claim), self._turn * SLOT_BYTES)
        self._turn = (self._turn + 1) % SLOTS
        self._owed = None

    def sync(self) -> None:
        """Make the notes durable; raises OSError."""
        if self._owed is not None:
            self._write(self._owed)
        os.fdatasync(self._handle)

    def close(self) -> None:
        """Make the notes durable and close; safe to call twice."""
        if self._handle >= 0:
            with contextlib.suppress(OSError):
                self.sync()
            os.close(self._handle)
            self._handle = -1

    def abandon(self) -> None:
        """Close without a word: what could not be opened must not be vouched for."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def _slot(self, claim: Claim) -> bytes:
        text = orjson.dumps(claim)
        mac = hmac.digest(self._key, text, "sha256").hex().encode()
        return (text + b" " + mac + b"\n").ljust(SLOT_BYTES, b"\0")

    def _parse(self, slot: bytes) -> Claim | None:
        text, _, mac = slot.rstrip(b"\0").removesuffix(b"\n").rpartition(b" ")
        if not hmac.compare_digest(mac, hmac.digest(self._key, text, "sha256").hex().encode()):
            return None
        return Claim(**orjson.loads(text))
