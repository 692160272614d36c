"""A witness on another host finds what somebody with every key of the server wrote anew."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, Never

import pytest
import typer

from helix_ray.audit_export.witness import (
    EVIDENCE_FILE,
    SEEN_FILE,
    Inconsistent,
    StateChanged,
    WatchedLog,
    Witness,
)
from helix_ray.checkpoints import Checkpoint, origin_of
from helix_ray.cli.audit_witness import _alarm, _proof
from helix_ray.client.errors import NotFound
from helix_ray.core.events import Fact, TaskReleased
from helix_ray.journal.proving import consistency
from helix_ray.journal.sqlite import SqliteJournal
from helix_ray.security import notes
from helix_ray.security.notes import NoteRefused, Verifier
from helix_ray.wire.audit_proofs import ConsistencyOut, consistency_out

KEY, SEED, WITNESS_SEED = b"k" * 32, bytes(range(32)), b"w" * 32


class Log:
    """A server's journal, and the key that signs its checkpoints."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.journal = SqliteJournal(folder, KEY)
        self.asked: list[tuple[int, int]] = []

    def grow(self, count: int, text: str = "") -> None:
        """Append facts."""
        first = self.journal.head() + 1
        self.journal.append([
            Fact(seq, 1.0, "user-1", f"req-{text}{seq}", TaskReleased(f"task-{seq}"))
            for seq in range(first, first + count)
        ])  # fmt: skip

    @property
    def key(self) -> Verifier:
        """The verifier of its checkpoints."""
        return notes.verifier_of(origin_of(self.journal.leaf(1)), SEED)

    def newest(self) -> str:
        """Sign the head."""
        head = Checkpoint(origin_of(self.journal.leaf(1)), self.journal.head(), self.journal.root())
        return notes.sign(head.text(), head.origin, SEED)

    def prove(self, old: int, new: int) -> ConsistencyOut:
        """Prove as the API does."""
        self.asked.append((old, new))
        return consistency_out(consistency(self.journal, old, new))

    def source(self) -> WatchedLog:
        """Give what the API gives."""
        return WatchedLog(self.newest, self.prove)

    def copy(self, folder: Path) -> Log:
        """Return another server with the same journal so far."""
        self.journal.close()
        shutil.copytree(self.folder, folder)
        self.journal = SqliteJournal(self.folder, KEY)
        return Log(folder)


@pytest.fixture
def log(tmp_path: Path) -> Log:
    made = Log(tmp_path / "log")
    made.grow(300)
    return made


def of(log: Log, tmp_path: Path) -> Witness:
    return Witness(tmp_path / "witness", "witness.example/w1", [log.key])


def test_it_cosigns_what_extends_what_it_saw(log: Log, tmp_path: Path) -> None:
    """Also after a restart of the witness; where nothing has happened nothing is asked. The note is signed by
    both, and each signature is verified with its key alone."""
    witness = of(log, tmp_path)
    assert witness.look(log.source(), 1_790_000_000.5).is_news
    assert not witness.look(log.source(), 1_790_000_001.0).is_news
    log.grow(257)
    again = of(log, tmp_path)
    assert again.verifier == witness.verifier
    assert again.look(log.source(), 1_790_000_002.0).is_news
    assert log.asked == [(300, 557)]
    note = (tmp_path / "witness" / SEEN_FILE).read_text()
    texts = {notes.read(note, [key])[0] for key in (log.key, again.verifier)}
    assert [Checkpoint.of(text).size for text in texts] == [557]


def cut(log: Log, folder: Path) -> Log:
    """The end is gone."""
    return log.copy(folder)


def rewritten(log: Log, folder: Path) -> Log:
    """As many facts as before, others."""
    other = log.copy(folder)
    other.grow(40, "x")
    return other


def rewritten_and_grown(log: Log, folder: Path) -> Log:
    """Other facts, and more of them."""
    other = rewritten(log, folder)
    other.grow(100)
    return other


def another(log: Log, folder: Path) -> Log:
    """A log that was begun anew."""
    other = Log(folder)
    other.grow(500)
    return other


@pytest.mark.parametrize("change", [cut, rewritten, rewritten_and_grown, another])
def test_a_log_with_another_past_is_found(
    log: Log, tmp_path: Path, change: Callable[[Log, Path], Log]
) -> None:
    """By its state alone, whoever has signed it; the evidence is kept, and it stays found."""
    forged = change(log, tmp_path / "forged")
    log.grow(40)
    witness = Witness(tmp_path / "witness", "w", [log.key, forged.key])
    witness.look(log.source(), 1.0)
    for _ in range(2):
        with pytest.raises(Inconsistent, match="not consistent"):
            witness.look(forged.source(), 2.0)
    evidence = (tmp_path / "witness" / EVIDENCE_FILE).read_text()
    assert log.newest() in evidence
    assert forged.newest() in evidence
    assert Checkpoint.of((tmp_path / "witness" / SEEN_FILE).read_text()).size == 340


def test_a_proof_that_agrees_with_itself_is_not_enough(log: Log, tmp_path: Path) -> None:
    """The proof of the forged log, with its own old root, does not fit what the witness saw."""
    forged = rewritten_and_grown(log, tmp_path / "forged")
    log.grow(40)
    witness = of(log, tmp_path)
    witness.look(log.source(), 1.0)
    with pytest.raises(Inconsistent):
        witness.look(WatchedLog(forged.newest, forged.prove), 2.0)
    assert forged.asked == [(340, 440)]


def test_a_head_that_the_log_did_not_sign_is_refused(log: Log, tmp_path: Path) -> None:
    """And leaves no evidence against it: anybody could have sent it."""
    witness = of(log, tmp_path)
    by_others = notes.sign(log.newest().partition("\n\n")[0] + "\n", log.key.name, WITNESS_SEED)
    with pytest.raises(NoteRefused):
        witness.look(WatchedLog(lambda: by_others, log.prove), 1.0)
    assert witness.look(log.source(), 2.0).is_news


def test_the_state_cannot_be_put_there_by_others(
    log: Log, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A checkpoint that this witness has not cosigned is no state."""
    of(log, tmp_path).look(log.source(), 1.0)
    path = tmp_path / "witness" / SEEN_FILE
    path.write_text(log.newest())
    with pytest.raises(StateChanged, match=r"none of these keys is known here\. It is not what this"):
        of(log, tmp_path)
    path.write_bytes(b"\xff")
    with pytest.raises(StateChanged, match=f"{path}: this is not a signed note: it is not UTF-8"):
        of(log, tmp_path)
    with pytest.raises(typer.Exit), _alarm(None):
        of(log, tmp_path)
    said = capsys.readouterr().err
    assert said.startswith(f"helix audit: {path}: "), "it is not the log that is accused"


@pytest.mark.parametrize("shown", [None, [], {}, {"path": 7}, {"path": [7]}, {"path": ["x"]}])
def test_a_proof_that_is_none_is_evidence(log: Log, tmp_path: Path, shown: Any) -> None:
    """Whatever the log shows in its place."""
    witness = of(log, tmp_path)
    witness.look(log.source(), 1.0)
    log.grow(5)
    with pytest.raises(Inconsistent, match="its proof cannot be read"):
        witness.look(WatchedLog(log.newest, lambda old, new: shown), 2.0)
    assert (tmp_path / "witness" / EVIDENCE_FILE).exists()


def test_a_log_that_refuses_to_prove_what_it_signed_is_told_of(
    log: Log, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else whoever wrote it anew would only have to answer with an error."""
    witness = of(log, tmp_path)
    witness.look(log.source(), 1.0)
    log.grow(5)

    class Client:
        def prove_consistency(self, old: int, new: int) -> Never:
            raise NotFound("NOT_FOUND", "Path not found")

    shown = WatchedLog(log.newest, partial(_proof, Client()))  # type: ignore[arg-type]
    with pytest.raises(typer.Exit), _alarm(None):
        witness.look(shown, 2.0)
    said = capsys.readouterr().err
    assert (
        "INCONSISTENT: the log does not prove that its 305 facts begin with the 300 seen before: NOT" in said
    )


def test_a_log_without_a_checkpoint_is_refused(log: Log, tmp_path: Path) -> None:
    """Its response has no signature, so it is not kept as evidence."""

    def broken() -> str:
        raise KeyError("checkpoint")

    with pytest.raises(NoteRefused, match="not a checkpoint"):
        of(log, tmp_path).look(WatchedLog(broken, log.prove), 1.0)


def test_a_cosignature_has_the_public_form() -> None:
    """c2sp.org/tlog-cosignature: key id of kind 4, time in 8 bytes, signature over time and text. A log's key
    is no witness's, and another time does not fit."""
    text = f"log.example\n7\n{base64.b64encode(bytes(32)).decode()}\n"
    note = notes.cosign(notes.sign(text, "log.example", SEED), "w.example/1", WITNESS_SEED, 1_679_315_147)
    verifier = notes.witness_of("w.example/1", WITNESS_SEED)
    name, encoded = note.splitlines()[-1].removeprefix("— ").split(" ")
    raw = base64.b64decode(encoded)
    assert (name, len(raw)) == ("w.example/1", 4 + 8 + 64)
    assert raw[:4] == sha256(b"w.example/1\n\x04" + verifier.public).digest()[:4]
    assert int.from_bytes(raw[4:12], "big") == 1_679_315_147
    assert notes.read(note, [verifier]) == (text, verifier)
    assert Verifier.of(verifier.line()) == verifier
    with pytest.raises(NoteRefused, match="none of these keys"):
        notes.read(note, [notes.verifier_of("w.example/1", WITNESS_SEED)])
    later = raw[:4] + (1_679_315_148).to_bytes(8, "big") + raw[12:]
    with pytest.raises(NoteRefused, match="does not match"):
        notes.read(note.replace(encoded, base64.b64encode(later).decode()), [verifier])
