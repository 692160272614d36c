"""Whatever is written, used, damaged and removed in whichever order, a folder of blobs keeps its promises."""

from __future__ import annotations

import os
import shutil
import tempfile
from hashlib import sha256
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from helix_ray.blobs.errors import BlobDamaged, BlobMissing, StoreFull
from helix_ray.blobs.incoming import Incoming
from helix_ray.blobs.store import BlobStore, Pin

BUDGET = 1000
contents = st.integers(0, 9).map(lambda number: bytes([number]) * (100 + 50 * number))


class Blobs(RuleBasedStateMachine):
    """Two processes with one folder, as two stores; `known` are the bytes of each digest."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.stores = [BlobStore(self.folder, BUDGET) for _ in range(2)]
        self.known: dict[str, bytes] = {}
        self.damaged: set[str] = set()
        self.pins: list[tuple[str, Pin]] = []
        self.incoming: list[tuple[Incoming, bytes]] = []

    def teardown(self) -> None:
        """Leave nothing."""
        for _, pin in self.pins:
            pin.release()
        for incoming, _ in self.incoming:
            incoming.abandon()
        shutil.rmtree(self.folder)

    @rule(content=contents, which=st.integers(0, 1))
    def begin(self, content: bytes, which: int) -> None:
        """Begin a blob, and write all but its last byte."""
        incoming = self.stores[which].begin()
        incoming.write(content[:-1])
        self.incoming.append((incoming, content))

    @precondition(lambda self: self.incoming)
    @rule(abandon=st.booleans())
    def end(self, abandon: bool) -> None:
        """End the blob that was begun first: it is there then, or does not fit beside what is in use."""
        incoming, content = self.incoming.pop(0)
        if abandon:
            incoming.abandon()
            return
        digest = sha256(content).hexdigest()
        incoming.write(content[-1:])
        try:
            assert incoming.finish() == (digest, len(content))
        except StoreFull:
            held = sum(len(self.known[name]) for name in {name for name, _ in self.pins} - {digest})
            assert held + len(content) > BUDGET
            return
        self.known[digest] = content
        self.damaged.discard(digest)
        assert self.stores[0].verify(digest, again=True)

    @precondition(lambda self: self.known)
    @rule(data=st.data(), which=st.integers(0, 1))
    def pin(self, data: st.DataObject, which: int) -> None:
        """Use a blob: it is sound, or it is said that it is not there or damaged."""
        digest = data.draw(st.sampled_from(sorted(self.known)))
        there = self.stores[which].has(digest)
        try:
            pin = self.stores[which].pin(digest)
        except BlobMissing:
            assert not there
        except BlobDamaged:
            assert there
            assert digest in self.damaged
            self.damaged.discard(digest)
        else:
            assert there
            assert digest not in self.damaged
            assert pin.path.read_bytes() == self.known[digest]
            self.pins.append((digest, pin))

    @precondition(lambda self: self.pins)
    @rule()
    def release(self) -> None:
        """End the oldest use."""
        self.pins.pop(0)[1].release()

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        """Remove a blob, which is refused exactly while it is used."""
        digest = data.draw(st.sampled_from(sorted(self.known)))
        used = digest in {name for name, _ in self.pins}
        assert self.stores[1].delete(digest) is not used
        if not used:
            self.damaged.discard(digest)

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def spoil(self, data: st.DataObject) -> None:
        """Damage a blob that nobody uses."""
        digest = data.draw(st.sampled_from(sorted(self.known)))
        path = self.folder / digest
        if path.exists() and digest not in {name for name, _ in self.pins}:
            path.chmod(0o600)
            path.write_bytes(self.known[digest][:-1])
            os.utime(path, (1000.0, 1000.0))
            self.damaged.add(digest)

    @rule()
    def start_again(self) -> None:
        """A process starts: it removes nothing that others write."""
        self.stores[0] = BlobStore(self.folder, BUDGET)
        self.stores[0].prepare()

    @invariant()
    def what_is_used_stays(self) -> None:
        """The file of every pin is in its place, as it was."""
        for digest, pin in self.pins:
            assert pin.path.read_bytes() == self.known[digest]

    @invariant()
    def the_budget_holds(self) -> None:
        """All blobs are within the budget."""
        assert sum(blob.bytes for blob in self.stores[0].stored()) <= BUDGET

    @invariant()
    def names_are_digests(self) -> None:
        """What is not damaged has the digest that it is named by."""
        for blob in self.stores[0].stored():
            content = (self.folder / blob.digest).read_bytes()
            assert blob.digest in self.damaged or sha256(content).hexdigest() == blob.digest


TestBlobs = Blobs.TestCase
TestBlobs.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
