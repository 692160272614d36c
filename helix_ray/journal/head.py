"""HEAD: a signed note of the last acknowledged fact, in a file beside the journal.

A journal that lost its newest rows (a truncated WAL, an old copy restored) looks intact to SQLite. A start
notices it by HEAD, which contains the seq and hash that the journal must have.

The file has two slots, a page each, written in turn, so that a write torn by a power loss leaves the other
slot. A slot is one line, `{"seq":..,"hash":"..","epoch":..,"saved_at":..} <HMAC-SHA256, hex>`. `note` writes
a slot after each commit without fsync, so it survives a killed process; `sync` makes it survive power loss.
It is written after the commit is durable, so HEAD never names a fact that is not.
"""

from __future__ import annotations

import contextlib
import errno
import hmac
import logging
import os
from pathlib import Path
from typing import NamedTuple

import orjson

from helix_ray.durable import sync
from helix_ray.journal.errors import JournalDamaged

log = logging.getLogger(__name__)

SLOT_BYTES = 4096
SLOTS = 2


class Claim(NamedTuple):
    """Says that the facts up to `seq` have this hash (hex), of the edge (edge.py) or the root of their tree,
    and were acknowledged. `saved_at` is epoch seconds."""

    seq: int
    hash: str
    epoch: int
    saved_at: float


class HeadFile:
    """Reads and writes one HEAD file."""

    def __init__(self, path: Path, key: bytes, beside: Path | None = None) -> None:
        """`beside` is the journal: where another one takes its place, HEAD is that one's."""
        self._path = path
        self._beside = beside
        self._journal: os.stat_result | None = None
        # Continued for each note, so that the key is made ready once.
        self._begun = hmac.new(key, digestmod="sha256")
        self._handle = -1
        # Where the older slot begins.
        self._turn = 0
        self._owed: Claim | None = None
        self._newest: Claim | None = None

    def read(self) -> Claim | None:
        """Return the claim with the highest seq, or None without a file. Raises JournalDamaged when no
        slot's signature is valid."""
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return None
        slots = [data[i * SLOT_BYTES : (i + 1) * SLOT_BYTES] for i in range(SLOTS)]
        claims = [claim for slot in slots if (claim := self._parse(slot)) is not None]
        if not claims:
            raise JournalDamaged(
                f"{self._path} was changed or signed with another key, so it cannot prove which facts were "
                "acknowledged. "
                f"Restore a backup of {self._path.parent}, or remove {self._path} to trust the journal "
                "as it is"
            )
        return max(claims, key=lambda claim: (claim.seq, claim.epoch))

    def start(self, claim: Claim) -> None:
        """Write a new file with this claim durably, and keep it open for notes."""
        draft = self._path.with_name(f".{self._path.name}.draft")
        handle = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.pwrite(handle, self._slot(claim) * SLOTS, 0)
            os.fsync(handle)
            draft.rename(self._path)
            sync(self._path.parent)
        except BaseException:
            os.close(handle)
            raise
        self._handle = handle
        self._journal = self._journal or _stat(self._beside)

    def note(self, claim: Claim) -> None:
        """Write a claim, whose fact must be durable, into the older slot.

        The fact is recorded even if this fails, so a failure is left for `sync`: until then a truncated
        journal would not be noticed, which is no reason to end the process.
        """
        try:
            self._write(claim)
        except OSError as error:
            if self._owed is None:
                log.error("cannot write %s, retrying: %s", self._path.name, error)
            self._owed = claim

    def _write(self, claim: Claim) -> None:
        os.pwrite(self._handle, self._slot(claim), self._turn)
        self._turn = SLOT_BYTES - self._turn
        self._newest, self._owed = claim, None

    def sync(self) -> None:
        """Make the notes durable, in a file that is there; raises OSError."""
        if self._owed is not None:
            self._write(self._owed)
        if self._newest is not None and not self._is_in_place():
            if not self._is_ours():
                raise FileNotFoundError(errno.ENOENT, "the journal is not there, or is another one")
            log.error("%s was removed or replaced; it is written again", self._path)
            before = self._handle
            self.start(self._newest)
            os.close(before)
            return
        os.fdatasync(self._handle)

    def _is_in_place(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self._handle), self._path.stat())
        except FileNotFoundError:
            return False

    def _is_ours(self) -> bool:
        found = _stat(self._beside)
        if self._journal is None or found is None:
            return self._beside is None
        return os.path.samestat(self._journal, found)

    def close(self) -> None:
        """Make the notes durable and close; safe to call twice."""
        if self._handle >= 0:
            with contextlib.suppress(OSError):
                self.sync()
            os.close(self._handle)
            self._handle = -1

    def abandon(self) -> None:
        """Close without writing: HEAD must not vouch for a journal that could not be opened."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def _slot(self, claim: Claim) -> bytes:
        seq, digest, epoch, saved_at = claim
        text = orjson.dumps({"seq": seq, "hash": digest, "epoch": epoch, "saved_at": saved_at})
        return (text + b" " + self._mac(text) + b"\n").ljust(SLOT_BYTES, b"\0")

    def _parse(self, slot: bytes) -> Claim | None:
        text, _, mac = slot.rstrip(b"\0").removesuffix(b"\n").rpartition(b" ")
        if not hmac.compare_digest(mac, self._mac(text)):
            return None
        return Claim(**orjson.loads(text))

    def _mac(self, text: bytes) -> bytes:
        """Return a line's signature (hex)."""
        continued = self._begun.copy()
        continued.update(text)
        return continued.hexdigest().encode()


def _stat(path: Path | None) -> os.stat_result | None:
    try:
        return None if path is None else path.stat()
    except FileNotFoundError:
        return None
