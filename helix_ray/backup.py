"""Backups of a data directory: made while the server runs, and verified before they get their name.

A backup is a folder with

    journal.sqlite   the journal up to a seq, with its newest snapshot, in one file without a WAL
    segments/        the files with its older facts, if any
    HEAD             signed for that seq, so that later facts do not count as missing
    *.key            the keys for signatures of HEAD and snapshots, and for tokens
    blobs/           models, data sets and evidence, each named by its digest
    backup.json      seq, hash and epoch, how many blobs; written last

History and rate limits are derived or temporary. Output of attempts and large results
are not part of a backup. The blobs are copied after the journal: those that its facts name are there, for
they were durable before and stay for a while when nothing names them any more.

A backup is written to `.NAME.partial` and renamed when every row's hash has been verified, so an interrupted
copy does not look like a backup. A restore writes HEAD first and the journal last: after an interrupted
restore the server refuses to start.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import BinaryIO

import orjson

from helix_ray.blobs.copying import check_blobs, copy_blobs
from helix_ray.blobs.errors import BlobError
from helix_ray.blobs.places import HEAD_FOLDER as BLOBS
from helix_ray.durable import sync
from helix_ray.journal.check import check_all
from helix_ray.journal.copying import Copying
from helix_ray.journal.errors import JournalDamaged, JournalError
from helix_ray.journal.head import Claim, HeadFile
from helix_ray.journal.layout import TREE_FORMAT, connect, format_of, has_tables
from helix_ray.journal.lock import FileLock
from helix_ray.journal.sealing import listed
from helix_ray.journal.sqlite import FILE_NAME
from helix_ray.journal.stored import FOLDER as SEGMENTS
from helix_ray.private import TooWide, narrow_folder
from helix_ray.security.keys import HEAD_KEY_FILE, KeyFileUnsafe, load_or_create_key

HEAD, MANIFEST, LOCK = "HEAD", "backup.json", "journal.lock"
KEYS, PUBLIC_KEYS = "*.key", "*.pub"
FORMAT = 1
PAGES_PER_STEP = 2000
# Locks of the processes that run on a data directory.
LOCKS = ("up.lock", "node.lock", LOCK)
NOT_OURS = frozenset({"lost+found"})

# Called with the current step and its progress, 0 to 1.
Progress = Callable[[str, float], None]


class BackupFailed(Exception):
    """The backup or restore failed; the message says why, in one line."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """The content of a backup: facts 1 to `seq`, and the hash of the last (hex); how many `blobs`, and the
    digests of those that were damaged and are left out."""

    format: int
    seq: int
    hash: str
    epoch: int
    made_at: float
    blobs: int = 0
    damaged_blobs: tuple[str, ...] = ()


def back_up(data_dir: Path, target: Path, progress: Progress) -> Manifest:
    """Copy a data directory, which may be in use, to a missing or empty folder. Raises BackupFailed."""
    with _plainly(f"{data_dir} could not be backed up"):
        if not (data_dir / FILE_NAME).is_file():
            raise BackupFailed(f"{data_dir} does not contain a journal")
        _must_be_empty(target)
        with _draft_of(target) as draft:
            manifest = _copy(data_dir, draft, progress)
            sync(draft)
            draft.rename(target)
        sync(target.parent)
        return manifest


def restore(source: Path, data_dir: Path, progress: Progress) -> Manifest:
    """Restore a backup to a missing or empty data directory. Raises BackupFailed."""
    with _plainly(f"{source} could not be restored"):
        manifest = verify(source, progress)
        _must_not_run(data_dir)
        _must_be_empty(data_dir)
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        narrow_folder(data_dir)
        lock = FileLock(data_dir / LOCK)
        try:
            _put_in_place(source, data_dir, progress)
            if verify(data_dir, progress, manifest) != manifest:
                raise BackupFailed(f"{source} changed while it was being restored")
        except BaseException:
            _empty(data_dir)
            raise
        finally:
            lock.release()
        return manifest


def verify(folder: Path, progress: Progress, manifest: Manifest | None = None) -> Manifest:
    """Check every row of a backup against its hash, its HEAD and its
    manifest. Raises BackupFailed, JournalError."""
    manifest = manifest or _manifest(folder)
    claim = HeadFile(folder / HEAD, _signing_key(folder)).read()
    if claim is None or (claim.seq, claim.hash) != (manifest.seq, manifest.hash):
        raise BackupFailed(
            f"{folder / HEAD} does not match fact {manifest.seq}: it does not belong to this backup"
        )
    seq, last_hash = _check(folder / FILE_NAME, claim, progress)
    if (seq, last_hash) != (manifest.seq, manifest.hash):
        raise BackupFailed(
            f"{folder / FILE_NAME} ends with fact {seq}, but must end with fact {manifest.seq}"
        )
    blobs = check_blobs(folder / BLOBS, lambda share: progress("checking models and data sets", share))
    if blobs < manifest.blobs:
        raise BackupFailed(
            f"{folder / BLOBS} has {blobs} files, but must have {manifest.blobs}: some are missing"
        )
    return manifest


# ------------------------------------------------------------------------------------------------ copying


def _copy(data_dir: Path, draft: Path, progress: Progress) -> Manifest:
    """Copy everything into an empty folder and verify it; return the manifest."""
    key = _signing_key(data_dir)
    # HEAD is read before the copy begins: the fact that it names was durable then, so the copy must have it.
    acknowledged = HeadFile(data_dir / HEAD, key).read()
    _copy_journal(data_dir / FILE_NAME, draft / FILE_NAME, progress)
    if (draft / SEGMENTS).is_dir():
        sync(draft / SEGMENTS)
    seq, last_hash = _check(draft / FILE_NAME, acknowledged, progress)
    if seq == 0:
        raise BackupFailed(f"the journal in {data_dir} contains no facts")
    epoch = _epoch(draft / FILE_NAME)
    head = HeadFile(draft / HEAD, key)
    head.start(Claim(seq, last_hash, epoch, time.time()))
    head.close()
    for path in _keys_of(data_dir):
        _copy_file(path, draft / path.name)
    blobs = copy_blobs(data_dir / BLOBS, draft / BLOBS, _copying_blobs(progress))
    manifest = Manifest(FORMAT, seq, last_hash, epoch, time.time(), *blobs)
    _write(draft / MANIFEST, orjson.dumps(asdict(manifest)) + b"\n")
    return manifest


def _copying_blobs(progress: Progress) -> Callable[[float], None]:
    return lambda share: progress("copying models and data sets", share)


def _copy_journal(source: Path, target: Path, progress: Progress) -> None:
    """Copy a journal up to its newest fact; copy and writer do not block each other."""
    if _is_present(source):
        Copying(source, target, _copy_file, lambda done, of: progress("copying", done / max(1, of))).run()
    else:
        _copy_pages(source, target, progress)
    sync(target)


def _is_present(journal: Path) -> bool:
    with contextlib.closing(connect(journal, "ro")) as con:
        return format_of(con) >= TREE_FORMAT


def _copy_pages(source: Path, target: Path, progress: Progress) -> None:
    """Copy a journal in an older format, which has no writer, with SQLite's online backup."""
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    with (
        contextlib.closing(connect(source, "ro")) as reading,
        contextlib.closing(sqlite3.connect(target, isolation_level=None)) as copy,
    ):
        copy.execute("PRAGMA synchronous = OFF")  # the caller makes it durable as a whole
        reading.backup(
            copy,
            pages=PAGES_PER_STEP,
            progress=lambda _, left, of: progress("copying", 1 - left / max(1, of)),
        )
        copy.execute("PRAGMA journal_mode = DELETE")


def _copy_segments(source: Path, target: Path) -> None:
    """Copy the segments that a backup's journal names."""
    with contextlib.closing(connect(source / FILE_NAME, "ro")) as con:
        files = [sealed.file for sealed in listed(con)] if format_of(con) >= TREE_FORMAT else []
    if files:
        (target / SEGMENTS).mkdir(mode=0o700)
        for name in files:
            _copy_file(source / SEGMENTS / name, target / SEGMENTS / name)
        sync(target / SEGMENTS)


def _put_in_place(source: Path, data_dir: Path, progress: Progress) -> None:
    for name in (HEAD, *(path.name for path in _keys_of(source))):
        _copy_file(source / name, data_dir / name)
    draft = data_dir / f".{FILE_NAME}.draft"
    _copy_file(source / FILE_NAME, draft)
    _copy_segments(source, data_dir)
    copy_blobs(source / BLOBS, data_dir / BLOBS, _copying_blobs(progress))
    draft.rename(data_dir / FILE_NAME)
    sync(data_dir)


def _keys_of(folder: Path) -> list[Path]:
    """Return the files of keys, and of the public halves of those that have signed checkpoints."""
    return sorted((*folder.glob(KEYS), *folder.glob(PUBLIC_KEYS)))


def _copy_file(source: Path, target: Path) -> None:
    with source.open("rb") as reading, _made(target) as writing:
        shutil.copyfileobj(reading, writing, 1 << 20)
        writing.flush()
        os.fsync(writing.fileno())


def _write(path: Path, content: bytes) -> None:
    with _made(path) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _made(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb")


@contextlib.contextmanager
def _draft_of(target: Path) -> Iterator[Path]:
    """Yield an empty draft folder beside the target, under a lock; the draft of a
    killed run is removed first."""
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.partial")
    draft.mkdir(mode=0o700, exist_ok=True)
    handle = os.open(draft, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BackupFailed(f"another backup to {target} is in progress") from None
        try:
            _empty(draft)
            yield draft
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
    finally:
        os.close(handle)


# ------------------------------------------------------------------------------------------------ checking


def _check(path: Path, claim: Claim | None, progress: Progress) -> tuple[int, str]:
    """Verify every fact of a journal's file; return the newest one's seq and its hash as in HEAD (hex)."""
    with contextlib.closing(connect(path, "ro")) as con:
        if not has_tables(con):
            raise JournalDamaged(f"{path} does not contain a journal")
        total = con.execute("SELECT coalesce(max(seq), 0) FROM facts").fetchone()[0]
        return check_all(con, claim, lambda seq: progress("checking", seq / max(1, total)))


def _epoch(path: Path) -> int:
    with contextlib.closing(connect(path, "ro")) as con:
        return int(con.execute("SELECT value FROM meta WHERE name = 'epoch'").fetchone()[0])


def _signing_key(folder: Path) -> bytes:
    if not (folder / HEAD_KEY_FILE).is_file():
        raise BackupFailed(
            f"{folder / HEAD_KEY_FILE} is missing, and the backup cannot be verified without it"
        )
    ring = load_or_create_key(folder, HEAD_KEY_FILE)
    return ring.secrets[ring.current]


def _manifest(folder: Path) -> Manifest:
    path = folder / MANIFEST
    try:
        read = Manifest(**orjson.loads(path.read_bytes()))
        manifest = replace(read, damaged_blobs=tuple(read.damaged_blobs))
    except FileNotFoundError:
        raise BackupFailed(f"{folder} is not a complete backup: it has no {MANIFEST}") from None
    except (TypeError, orjson.JSONDecodeError):
        raise BackupFailed(f"{path} is damaged") from None
    if manifest.format != FORMAT:
        raise BackupFailed(f"{folder} has format {manifest.format}; this release supports format {FORMAT}")
    return manifest


def _must_be_empty(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise BackupFailed(f"{folder} is not a folder")
    if folder.exists() and any(path.name not in NOT_OURS for path in folder.iterdir()):
        raise BackupFailed(f"{folder} is not empty: give the name of a folder that does not exist")


def _must_not_run(data_dir: Path) -> None:
    for name in LOCKS:
        with contextlib.suppress(FileNotFoundError), (data_dir / name).open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BackupFailed(
                    f"a server is running on {data_dir}; stop it with: helix down --data-dir {data_dir}"
                ) from None


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.name not in NOT_OURS:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


@contextlib.contextmanager
def _plainly(what: str) -> Iterator[None]:
    """Turn errors of the file system into BackupFailed, with a message of one line."""
    try:
        yield
    except (BlobError, JournalError, KeyFileUnsafe, TooWide) as error:
        raise BackupFailed(f"{what}: {error}") from error
    except sqlite3.Error as error:
        raise BackupFailed(f"{what}: SQLite: {error}") from error
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise BackupFailed(f"{what}: {where}{error.strerror or error}") from error
