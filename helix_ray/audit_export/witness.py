"""Follows the checkpoints of a journal from another host, and cosigns those that extend what it saw before.

Whoever has all keys of a server can rewrite the end of its journal, and every check on that host fits. A
witness keeps the newest head that it saw where they cannot reach it. A head that does not begin with that one
is a forgery: the evidence is kept, and nothing of that log is cosigned any more.

Files in the witness's folder, all 0600; nobody else needs any of them but the first:

    checkpoint     the newest checkpoint that was seen, with the log's signature and the cosignature
    witness.key    the key that cosigns, made at the first start
    evidence       what the log showed when it was not consistent; remove it only when you know why
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Never

from helix_ray.checkpoints import Checkpoint
from helix_ray.durable import replace_text, sync
from helix_ray.journal.proofs import verify_consistency
from helix_ray.security import keys, notes
from helix_ray.security.notes import NoteRefused, Verifier

if TYPE_CHECKING:
    from helix_ray.wire.audit_proofs import ConsistencyOut

KEY_FILE, SEEN_FILE, EVIDENCE_FILE = "witness.key", "checkpoint", "evidence"


class Inconsistent(Exception):
    """The log shows another past than the one that the witness saw; the message says what, in one line."""


class StateChanged(NoteRefused):
    """The witness's own record of what it saw is not what it wrote; the message says what, in one line."""


class WatchedLog(NamedTuple):
    """Gives the newest checkpoint of a log, and the proof from one size to another: what a server says, which
    may be anything. `prove` raises Inconsistent where the log refuses to prove what it has signed."""

    newest: Callable[[], str]
    prove: Callable[[int, int], ConsistencyOut]


class Sighting(NamedTuple):
    """What a witness has seen: the checkpoint, and whether it is one that it had not seen before."""

    checkpoint: Checkpoint
    is_news: bool


class Witness:
    """One witness of one log; its state is in a folder."""

    def __init__(self, folder: Path, name: str, log_keys: Sequence[Verifier]) -> None:
        """`log_keys` may sign the log's checkpoints. Raises KeyFileUnsafe, OSError, StateChanged."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        ring = keys.load_or_create_key(folder, KEY_FILE)
        self._folder = folder
        self._name = name
        self._seed = ring.secrets[ring.current]
        self._log_keys = log_keys
        self.verifier = notes.witness_of(name, self._seed)
        self.seen = self._read()

    def _read(self) -> Checkpoint | None:
        try:
            # What this witness has signed itself: nobody else can have put it there.
            return Checkpoint.of(notes.read_file(self._folder / SEEN_FILE, [self.verifier])[0])
        except FileNotFoundError:
            return None
        except NoteRefused as refused:
            raise StateChanged(
                f"{refused}. It is not what this witness wrote: restore it from a copy"
            ) from None

    def look(self, source: WatchedLog, now: float) -> Sighting:
        """Look at the log once: what extends the last checkpoint is cosigned and kept.

        Raises Inconsistent, NoteRefused (it is not signed by the log), OSError, and what `source` raises.
        """
        if (self._folder / EVIDENCE_FILE).exists():
            raise Inconsistent(f"the log was not consistent before: see {self._folder / EVIDENCE_FILE}")
        try:
            note = str(source.newest())
        except (LookupError, TypeError):
            raise NoteRefused("what the log shows is not a checkpoint") from None
        found = Checkpoint.of(notes.read(note, self._log_keys)[0])
        if found == self.seen:
            return Sighting(found, False)
        if self.seen is not None:
            self._compare(self.seen, found, note, source)
        _write(self._folder / SEEN_FILE, notes.cosign(note, self._name, self._seed, int(now)))
        self.seen = found
        return Sighting(found, True)

    def _compare(self, seen: Checkpoint, found: Checkpoint, note: str, source: WatchedLog) -> None:
        if found.origin != seen.origin:
            self._refuse(note, f"it is another journal: {found.origin} instead of {seen.origin}")
        if found.size < seen.size:
            self._refuse(note, f"it has {found.size} facts, fewer than the {seen.size} seen before")
        if found.size == seen.size:
            self._refuse(note, f"its {seen.size} facts differ from those seen before")
        try:
            path = [b64decode(node) for node in source.prove(seen.size, found.size)["path"]]
        except (LookupError, TypeError, ValueError):
            self._refuse(note, "its proof cannot be read")
        # The roots are those of the two signed notes: what the proof says of them does not count.
        if not verify_consistency(seen.size, found.size, path, seen.root, found.root):
            self._refuse(note, f"its first {seen.size} facts differ from those seen before")

    def _refuse(self, note: str, why: str) -> Never:
        before = (self._folder / SEEN_FILE).read_text("utf-8")
        _write(self._folder / EVIDENCE_FILE, f"{why}\n\nseen before:\n\n{before}\nshown now:\n\n{note}")
        raise Inconsistent(f"the log is not consistent: {why}; the evidence is in {self._folder}")


def _write(path: Path, text: str) -> None:
    replace_text(path, text)
    sync(path.parent)
