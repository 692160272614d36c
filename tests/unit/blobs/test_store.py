"""What a folder of blobs promises: names that are digests, whole files only, nothing lost that is in use."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from hashlib import sha256
from pathlib import Path

import pytest

from helix_ray.blobs.errors import BlobDamaged, BlobMissing, StoreFull, UploadLost
from helix_ray.blobs.incoming import FOLDER, Written
from helix_ray.blobs.store import DAMAGED, BlobStore

KIB = 1024


def written(store: BlobStore, content: bytes) -> str:
    """Write a blob in two pieces; return its digest."""
    incoming = store.begin()
    incoming.write(content[: len(content) // 2])
    incoming.write(content[len(content) // 2 :])
    return incoming.finish().digest


def spoil(store: BlobStore, digest: str) -> None:
    """Change a byte of a blob, as a failing disk would."""
    path = store.folder / digest
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.write(b"!")


def aged(store: BlobStore, digest: str, used_at: float) -> None:
    """Say when a blob was last used and written."""
    os.utime(store.folder / digest, (used_at, used_at))


def test_a_blob_is_found_by_the_digest_of_its_bytes(tmp_path: Path) -> None:
    """It is read as it was written, and nobody may write it."""
    store = BlobStore(tmp_path / "blobs")
    content = os.urandom(3 * KIB)
    digest = written(store, content)
    assert digest == sha256(content).hexdigest()
    assert store.has(digest)
    assert store.size(digest) == 3 * KIB
    assert b"".join(store.read(digest, KIB)) == content
    assert (store.folder / digest).stat().st_mode & 0o777 == 0o400
    assert [*(store.folder / FOLDER).iterdir()] == []


def test_an_empty_file_is_a_blob(tmp_path: Path) -> None:
    """It has a digest, and is read as no pieces."""
    store = BlobStore(tmp_path)
    digest = store.begin().finish().digest
    assert store.has(digest)
    assert [*store.read(digest)] == []


@pytest.mark.parametrize("name", ["", "../journal.sqlite", ".incoming", "A" * 64, "0" * 63, "0" * 65])
def test_only_a_digest_names_a_blob(tmp_path: Path, name: str) -> None:
    """No other text reaches a file."""
    store = BlobStore(tmp_path)
    assert not store.has(name)
    for use in (store.open, store.size, store.pin, store.verify, store.delete):
        with pytest.raises(BlobMissing):
            use(name)


def test_an_abandoned_blob_leaves_nothing(tmp_path: Path) -> None:
    """Nor does one that was only begun, or whose bytes have another digest than was expected."""
    store = BlobStore(tmp_path)
    store.begin()
    given_up = store.begin()
    given_up.write(b"some")
    given_up.abandon()
    given_up.abandon()
    with pytest.raises(UploadLost):
        given_up.write(b"more")
    other = store.begin()
    other.write(b"some")
    with pytest.raises(ValueError, match="but must have 0000"):
        other.finish("0" * 64)
    assert store.stored() == []
    assert [*(tmp_path / FOLDER).iterdir()] == []


def test_a_blob_is_written_once_by_many_writers(tmp_path: Path) -> None:
    """All get the same digest, and one file stays, for those who hold it too."""
    stores = [BlobStore(tmp_path) for _ in range(8)]
    content = os.urandom(64 * KIB)
    found: list[Written] = []

    def write(store: BlobStore) -> None:
        incoming = store.begin()
        for start in range(0, len(content), KIB):
            incoming.write(content[start : start + KIB])
        found.append(incoming.finish())

    threads = [threading.Thread(target=write, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [Written(sha256(content).hexdigest(), len(content))] * len(stores)
    assert [blob.digest for blob in stores[0].stored()] == [found[0].digest]
    with stores[0].pin(found[0].digest) as pin:
        before = pin.path.stat().st_ino
        written(stores[1], content)
        assert pin.path.stat().st_ino == before


def test_a_blob_that_is_written_again_is_as_young_as_that(tmp_path: Path) -> None:
    """So that it is not removed as one that nobody has named for long."""
    store = BlobStore(tmp_path)
    digest = written(store, b"model")
    aged(store, digest, 1000.0)
    written(store, b"model")
    assert store.stored()[0].written_at > 1000.0
    assert not store.delete(digest, idle_before=1000.0)
    assert store.has(digest)
    assert store.delete(digest)
    assert not store.has(digest)
    assert store.delete(digest), "gone is gone"


def test_a_damaged_blob_is_set_aside_and_can_be_written_again(tmp_path: Path) -> None:
    """Nobody gets all of it, and it does not count as present any more."""
    store = BlobStore(tmp_path)
    content = os.urandom(4 * KIB)
    digest = written(store, content)
    spoil(store, digest)
    read: list[bytes] = []
    with pytest.raises(BlobDamaged, match="upload it again"):
        read.extend(store.read(digest, KIB))
    assert len(read) == 3
    assert not store.has(digest)
    assert (tmp_path / DAMAGED / digest).is_file()
    written(store, content)
    assert b"".join(store.read(digest)) == content


def test_a_blob_that_was_changed_cannot_be_pinned(tmp_path: Path) -> None:
    """Though this process has verified it before."""
    store = BlobStore(tmp_path)
    digest = written(store, b"model" * KIB)
    store.pin(digest).release()
    spoil(store, digest)
    with pytest.raises(BlobDamaged):
        store.pin(digest)
    with pytest.raises(BlobMissing):
        store.pin(digest)


def test_writing_over_a_damaged_blob_mends_it(tmp_path: Path) -> None:
    """Whoever uploads it again does not have to know."""
    store = BlobStore(tmp_path)
    digest = written(store, b"model" * KIB)
    spoil(store, digest)
    assert written(BlobStore(tmp_path), b"model" * KIB) == digest
    assert store.verify(digest, again=True)


def test_the_oldest_use_makes_room(tmp_path: Path) -> None:
    """Reading a blob is a use of it."""
    store = BlobStore(tmp_path, budget_bytes=3 * KIB)
    one, two, three = (written(store, bytes([number]) * KIB) for number in range(3))
    for number, digest in enumerate((one, two, three)):
        aged(store, digest, 1000.0 + number)
    assert len([*store.read(one)]) == 1
    four = written(store, b"4" * KIB)
    assert {blob.digest for blob in store.stored()} == {one, three, four}


def test_what_is_in_use_is_never_evicted(tmp_path: Path) -> None:
    """Neither by this process nor by another one; a file that finds no room is refused with the figures."""
    store, other = BlobStore(tmp_path, budget_bytes=2 * KIB), BlobStore(tmp_path, budget_bytes=2 * KIB)
    used = written(store, b"1" * KIB)
    with store.pin(used):
        aged(store, used, 1.0)
        free = written(other, b"2" * KIB)
        assert not other.delete(used)
        with pytest.raises(StoreFull, match="files in use have 1024, and the budget is 2048"):
            other.begin(KIB + 1)
        assert not store.has(free), "what nobody uses made room first"
    assert other.begin(KIB + 1) is not None
    assert not store.has(used)


def test_a_file_above_the_budget_evicts_nothing(tmp_path: Path) -> None:
    """It cannot fit, whatever makes room."""
    store = BlobStore(tmp_path, budget_bytes=2 * KIB)
    digest = written(store, b"1" * KIB)
    with pytest.raises(StoreFull, match="the file has 2049 bytes"):
        store.begin(2 * KIB + 1)
    assert store.has(digest)


def test_the_disk_keeps_its_reserve(tmp_path: Path) -> None:
    """A write that would take what others need is refused before, and leaves nothing."""
    store = BlobStore(tmp_path, reserve_bytes=1 << 62)
    incoming = store.begin()
    with pytest.raises(StoreFull, match=r"the disk is full: \d+ bytes are free"):
        incoming.write(b"some")
    assert [*(tmp_path / FOLDER).iterdir()] == []


def test_a_full_disk_is_a_clear_error(tmp_path: Path) -> None:
    """The kernel refuses the write; the limit of a file's size stands for the disk's."""
    code = """
import resource, signal, sys
from pathlib import Path
from helix_ray.blobs.errors import StoreFull
from helix_ray.blobs.store import BlobStore
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
incoming = BlobStore(Path(sys.argv[1])).begin()
try:
    incoming.write(bytes(8192))
except StoreFull as full:
    print(full)
"""
    ran = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert ran.stdout == "there is no room for the file: File too large\n"
    assert [*(tmp_path / FOLDER).iterdir()] == []


WRITER = """
import os, sys
from pathlib import Path
from helix_ray.blobs.store import BlobStore
store = BlobStore(Path(sys.argv[1]))
number = 0
while True:
    incoming = store.begin()
    for _ in range(8):
        incoming.write(bytes([number % 256]) * 65536)
    print(incoming.finish().digest, flush=True)
    number += 1
"""


@pytest.mark.parametrize("blobs", [0, 1, 5])
def test_a_killed_writer_leaves_whole_blobs_only(tmp_path: Path, blobs: int) -> None:
    """kill -9 while it writes: what it said is there and sound, and the next start removes the rest."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    said = [process.stdout.readline().strip() for _ in range(blobs)]
    while not blobs and not [*tmp_path.glob(f"{FOLDER}/*")]:
        assert process.poll() is None
    process.kill()
    process.communicate()
    store = BlobStore(tmp_path)
    alive = store.begin()
    alive.write(b"of a living writer")
    store.prepare()
    assert len([*(tmp_path / FOLDER).iterdir()]) == 1
    alive.finish()
    assert {blob.digest for blob in store.stored()} >= set(said)
    assert all(store.verify(blob.digest, again=True) for blob in store.stored())


def test_a_pin_ends_with_its_process(tmp_path: Path) -> None:
    """A killed user keeps nothing for ever."""
    store = BlobStore(tmp_path)
    digest = written(store, b"model")
    code = (
        "import sys, time; from pathlib import Path; from helix_ray.blobs.store import BlobStore;"
        "pin = BlobStore(Path(sys.argv[1])).pin(sys.argv[2]); print('held', flush=True); time.sleep(600)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path), digest], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    assert not store.delete(digest)
    process.kill()
    process.communicate()
    assert store.delete(digest)
