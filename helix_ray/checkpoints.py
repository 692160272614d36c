"""Signed tree heads of a journal: a copy that is kept elsewhere proves later that no fact was changed.

HEAD (journal/head.py) is signed and verified with the same secret, so it proves nothing to others, and anyone
with the key can forge it. A checkpoint is signed with an Ed25519 key and verified with its public half. Its
text has the format of C2SP (c2sp.org/tlog-checkpoint):

    origin      helix-ray/ and 32 hex digits of the leaf of fact 1, which is salted: no two journals share it
    size        how many facts
    root        base64 of the root of the Merkle tree over them

Files in a data directory, all 0600:

    checkpoint        the newest one, written at most once a second, never by a commit
    checkpoint.key    the signing key, made at the first start
    checkpoint.pub    verifier lines of all keys so far, the current one last
    checkpoint.unmet  the newest one before a start that found a journal with fewer or other facts

A checkpoint is signed after its facts are durable, so a journal that lacks some of them has lost them.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import logging
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from helix_ray.durable import replace_text
from helix_ray.journal.check import check_all
from helix_ray.journal.errors import JournalDamaged
from helix_ray.journal.former import FORMAT as FORMER_FORMAT
from helix_ray.journal.head import HeadFile
from helix_ray.journal.layout import connect, format_of, has_tables
from helix_ray.journal.sqlite import FILE_NAME as JOURNAL_FILE
from helix_ray.journal.tree import StoredTree
from helix_ray.security import keys, notes
from helix_ray.security.notes import NoteRefused, Verifier

log = logging.getLogger(__name__)

FILE, KEY_FILE, PUBLIC_FILE = "checkpoint", "checkpoint.key", "checkpoint.pub"
UNMET_FILE = "checkpoint.unmet"
HEAD_FILE = "HEAD"
ORIGIN_PREFIX = "helix-ray/"
ORIGIN_BYTES = 16
ROOT_BYTES = 32
NOT_ONE = "the note is not a checkpoint"


class CheckpointFailed(Exception):
    """A journal does not match a checkpoint, or has none; the message says what to do, in one line."""


class Roots(Protocol):
    """What a checkpoint is compared with."""

    def leaf(self, seq: int) -> bytes:
        """Return the leaf of a fact."""
        ...

    def root(self, size: int) -> bytes:
        """Return the root over the first `size` facts."""
        ...


class Tree(Roots, Protocol):
    """The Merkle tree of a journal, from which checkpoints are made."""

    def head(self) -> int:
        """Return the seq of the newest fact."""
        ...

    def root(self, size: int | None = None) -> bytes:
        """Return the root over the first `size` facts, or all."""
        ...


class Checkpoint(NamedTuple):
    """A tree head: `origin` names the journal, `root` is that of its first `size` facts."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """Return the text to sign."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"

    @classmethod
    def of(cls, text: str) -> Checkpoint:
        """Parse the text of a checkpoint; further lines are ignored. Raises NoteRefused."""
        lines = text.splitlines()
        try:
            origin, size, root = lines[0], int(lines[1]), base64.b64decode(lines[2], validate=True)
        except (IndexError, ValueError, binascii.Error) as error:
            raise NoteRefused(
                "the note is not a checkpoint: origin, size and root must be its first lines"
            ) from error
        if str(size) != lines[1] or size < 0 or len(root) != ROOT_BYTES:
            raise NoteRefused(f"{NOT_ONE}: its size or its root is not valid")
        return cls(origin, size, root)


def origin_of(first_leaf: bytes) -> str:
    """Return the name of a journal, which is derived from its first fact and stays when that is erased."""
    return ORIGIN_PREFIX + first_leaf[:ORIGIN_BYTES].hex()


# ------------------------------------------------------------------------------------------ making


class CheckpointKeeper:
    """Keeps the newest checkpoint of a data directory in its file."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir
        self._size = -1
        self._origin = ""
        self._said = False
        self._looked_back = False

    def due(self, tree: Tree) -> Checkpoint | None:
        """Return the checkpoint to sign next; None if the newest one is signed or the journal is empty."""
        if not self._looked_back:
            self._looked_back = True
            self._look_back(tree)
        size = tree.head()
        if size in (0, self._size):
            return None
        if not self._origin:
            self._origin = origin_of(tree.leaf(1))
        return Checkpoint(self._origin, size, tree.root())

    def _look_back(self, tree: Tree) -> None:
        """Before the first one: keep that of an earlier start where the journal is not what it says."""
        for before in _own(self._folder, FILE):
            if (difference := _difference(tree, tree.head(), before)) is not None:
                log.critical("%s; it is kept in %s", difference, UNMET_FILE)
                with contextlib.suppress(OSError):
                    (self._folder / FILE).replace(self._folder / UNMET_FILE)

    def keep_newest(self, tree: Tree) -> None:
        """Sign and write the checkpoint that is due, if any."""
        if (due := self.due(tree)) is not None:
            self.keep(due)

    def keep(self, checkpoint: Checkpoint) -> str | None:
        """Sign and write a checkpoint and return the note; a failure is logged once, and returns None. May
        run on a thread."""
        try:
            # Read each time: the key may have been replaced.
            seed = _seed(self._folder)
            note_key(self._folder, notes.verifier_of(checkpoint.origin, seed))
            note = notes.sign(checkpoint.text(), checkpoint.origin, seed)
            replace_text(self._folder / FILE, note)
        except (OSError, keys.KeyFileUnsafe) as error:
            if not self._said:
                log.error("cannot write %s, retrying: %s", FILE, error)
            self._said = True
            return None
        self._size, self._said = checkpoint.size, False
        return note


def with_journal(data_dir: Path) -> Path:
    """Return a data directory. Raises CheckpointFailed where it has no journal."""
    if not (data_dir / JOURNAL_FILE).is_file():
        raise CheckpointFailed(f"{data_dir} does not contain a journal")
    return data_dir


def newest(data_dir: Path) -> str:
    """Return the newest checkpoint as a signed note. Raises CheckpointFailed."""
    try:
        return (data_dir / FILE).read_text("utf-8")
    except FileNotFoundError:
        raise CheckpointFailed(
            f"{data_dir} has no checkpoint yet: one is written within a second when a server runs on it"
        ) from None


def public_keys(data_dir: Path) -> list[Verifier]:
    """Return the public halves of all keys so far, the current one last."""
    with contextlib.suppress(FileNotFoundError):
        lines = (data_dir / PUBLIC_FILE).read_text("utf-8").splitlines()
        return [Verifier.of(line) for line in lines if line]
    return []


def keys_so_far(data_dir: Path) -> list[Verifier]:
    """Return the public keys of a journal. Raises CheckpointFailed where it has none yet."""
    found = public_keys(with_journal(data_dir))
    if not found:
        raise CheckpointFailed(f"{data_dir} has no key yet: it is made with the first checkpoint")
    return found


def rotate(data_dir: Path) -> None:
    """Replace the signing key, from the next checkpoint on. The old secret is deleted. Raises
    CheckpointFailed where there is no journal."""
    keys.replace_key(with_journal(data_dir), KEY_FILE)


def note_key(data_dir: Path, verifier: Verifier) -> None:
    """Add a key to the public keys, unless it is the last of them."""
    known = public_keys(data_dir)
    if not known or known[-1] != verifier:
        lines = (one.line() for one in (*known, verifier))
        replace_text(data_dir / PUBLIC_FILE, "".join(f"{line}\n" for line in lines))


def _seed(data_dir: Path) -> bytes:
    ring = keys.load_or_create_key(data_dir, KEY_FILE)
    return ring.secrets[ring.current]


# ------------------------------------------------------------------------------------------ verifying


class Verified(NamedTuple):
    """Facts 1 to `size` were verified and compared with `checkpoint`, which `signer` signed."""

    size: int
    checkpoint: Checkpoint | None
    signer: Verifier | None


def verify(
    data_dir: Path,
    note: str | None = None,
    verifiers: Sequence[Verifier] = (),
    on_facts: Callable[[int], None] = lambda seq: None,
) -> Verified:
    """Check every fact of a data directory, in use or not, and that it extends the journal of a checkpoint.

    `verifiers` are the keys that may have signed the checkpoint; by default those of the directory. No secret
    is needed; if the directory has one, HEAD is checked too, and so are the checkpoints in it. Raises
    CheckpointFailed, NoteRefused, JournalDamaged.
    """
    with_journal(data_dir)
    checkpoint, signer = None, None
    if note is not None:
        text, signer = notes.read(note, verifiers or public_keys(data_dir))
        checkpoint = Checkpoint.of(text)
    # Before the facts, which become more while the server runs.
    own = _own(data_dir, FILE, UNMET_FILE)
    claim = None
    if (data_dir / keys.HEAD_KEY_FILE).is_file():
        ring = keys.load_or_create_key(data_dir, keys.HEAD_KEY_FILE)
        claim = HeadFile(data_dir / HEAD_FILE, ring.secrets[ring.current]).read()
    with contextlib.closing(connect(data_dir / JOURNAL_FILE, "ro")) as con:
        if not has_tables(con):
            raise JournalDamaged(f"{data_dir / JOURNAL_FILE} does not contain a journal")
        size, _ = check_all(con, claim, on_facts)
        _compare(con, checkpoint, own)
    return Verified(size, checkpoint, signer)


def _own(data_dir: Path, *files: str) -> list[Checkpoint]:
    """Return the checkpoints in files of a directory, but not those that no key of it signed."""
    found: list[Checkpoint] = []
    for name in files:
        with contextlib.suppress(OSError, UnicodeDecodeError, NoteRefused):
            text, _ = notes.read((data_dir / name).read_text("utf-8"), public_keys(data_dir))
            found.append(Checkpoint.of(text))
    return found


def _compare(con: sqlite3.Connection, given: Checkpoint | None, own: Sequence[Checkpoint]) -> None:
    """Compare the tree with the checkpoint that was given, and with those of the directory."""
    if format_of(con) == FORMER_FORMAT:
        if given is None:
            return
        raise CheckpointFailed(
            "the journal has format 1, which has no tree: start the server once to upgrade it"
        )
    tree = StoredTree(con)
    size = tree.newest()
    if given is not None and (difference := _difference(tree, size, given)) is not None:
        raise CheckpointFailed(difference)
    for before in own:
        if (difference := _difference(tree, size, before)) is not None:
            raise JournalDamaged(difference)


def _difference(tree: Roots, size: int, checkpoint: Checkpoint) -> str | None:
    """Say why a journal of `size` facts is not that of a checkpoint; None where it is."""
    if size < checkpoint.size:
        return (
            f"the checkpoint has {checkpoint.size} facts and the journal {size}: facts {size + 1} to "
            f"{checkpoint.size} are missing"
        )
    if checkpoint.size and origin_of(tree.leaf(1)) != checkpoint.origin:
        return f"the checkpoint is of another journal: {checkpoint.origin}"
    if tree.root(checkpoint.size) != checkpoint.root:
        return f"facts 1 to {checkpoint.size} are not those of the checkpoint: some were changed or exchanged"
    return None
