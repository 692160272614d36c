"""Checkpoints: signed in the public form; one that was kept elsewhere finds every change of the journal."""

from __future__ import annotations

import contextlib
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from helix_ray import checkpoints
from helix_ray.audit_export.verify import verify_file
from helix_ray.audit_export.write import export
from helix_ray.backup import back_up, restore
from helix_ray.checkpoints import (
    UNMET_FILE,
    Checkpoint,
    CheckpointFailed,
    CheckpointKeeper,
    newest,
    public_keys,
    verify,
)
from helix_ray.cli.main import app
from helix_ray.core.events import Fact, FactsErased, TaskCompleted
from helix_ray.journal import sealing
from helix_ray.journal.errors import JournalDamaged
from helix_ray.journal.proofs import verify_consistency, verify_subtree
from helix_ray.journal.sqlite import SqliteJournal
from helix_ray.ports import Snapshot
from helix_ray.security.keys import load_or_create_key
from helix_ray.security.notes import NoteRefused, Verifier, read, sign, verifier_of

LEVEL = 10
FACTS = 2 << LEVEL
SEED = bytes(range(32))


def facts(first: int, last: int, text: str = "x") -> list[Fact]:
    seqs = range(first, last + 1)
    return [
        Fact(seq, 1000.0, "user-1", f"req-{seq // 9}", TaskCompleted(f"task-{seq}", 1, text)) for seq in seqs
    ]


def opened(data: Path) -> SqliteJournal:
    ring = load_or_create_key(data, "journal.key")
    return SqliteJournal(data, ring.secrets[ring.current])


def keep(data: Path, journal: SqliteJournal) -> str:
    """Sign the head of a journal, as the master does."""
    keeper = CheckpointKeeper(data)
    due = keeper.due(journal)
    assert due is not None
    keeper.keep(due)
    assert keeper.due(journal) is None
    return newest(data)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments of one block."""
    monkeypatch.setattr(sealing, "SEGMENT_LEVEL", LEVEL)
    monkeypatch.setattr(sealing, "SEGMENT_FACTS", 1 << LEVEL)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("made") / "data"
    data.mkdir(mode=0o700)
    journal = opened(data)
    journal.append(facts(1, FACTS + 300))
    keep(data, journal)
    journal.close()
    return data


@pytest.fixture
def data(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "data"))


@pytest.fixture
def journal(data: Path) -> Iterator[SqliteJournal]:
    found = opened(data)
    yield found
    found.close()


# ------------------------------------------------------------------------------------------ notes

# From the documentation of golang.org/x/mod/sumdb/note, which made the form.
NEUMANN = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_NOTE = """If you think cryptography is the answer to your problem,
then you don't know what your problem is.

\u2014 PeterNeumann \
x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=
"""


def test_a_note_of_somebody_else_is_read() -> None:
    """Go's implementation made it."""
    text, signer = read(GO_NOTE, [verifier_of("other", SEED), Verifier.of(NEUMANN)])
    assert text.endswith("your problem is.\n")
    assert (signer.name, signer.line()) == ("PeterNeumann", NEUMANN)


def test_what_was_changed_is_refused() -> None:
    """Text, signature, name or key: none of it passes, whatever is left of the form."""
    note, verifier = sign("a\nb\n", "name", SEED), verifier_of("name", SEED)
    flipped = note[:-20] + ("B" if note[-20] == "A" else "A") + note[-19:]
    assert read(note, [verifier]) == ("a\nb\n", verifier)
    assert Verifier.of(verifier.line()) == verifier
    for changed in (
        note.replace("a", "c", 1), note.replace("name", "nome"), flipped, note.strip(), "", "a\n", "\n\n\n",
        "a\n\n\u2014 name AAAA\n", "a\n\n- name AAAAAAAA\n", note + "x" * 70_000,
    ):  # fmt: skip
        with pytest.raises(NoteRefused):
            read(changed, [verifier])
    with pytest.raises(NoteRefused, match="none of these keys is known"):
        read(note, [verifier_of("name", bytes(32))])
    for line in ("", "a+b", NEUMANN.replace("c74f", "c74e"), NEUMANN[:-4], "a+00000000+AA=="):
        with pytest.raises(NoteRefused):
            Verifier.of(line)
    for text in ("", "a\n", "a\n1\n", "a\n01\nAAAA\n", "a\n-1\n" + "A" * 43 + "=\n", "a\n1\nAAAA\n"):
        with pytest.raises(NoteRefused):
            Checkpoint.of(text)


# ------------------------------------------------------------------------------------------ checkpoints


def test_it_is_signed_under_the_journals_own_name(made: Path) -> None:
    """Origin, size and root; the name stays, and is no other journal's. All files are their owner's alone."""
    note = newest(made)
    text, signer = read(note, public_keys(made))
    found = Checkpoint.of(text)
    assert found.text() == text
    assert found.size == FACTS + 300
    assert found.origin == signer.name
    assert found.origin.startswith("helix-ray/")
    for name in ("checkpoint", "checkpoint.key", "checkpoint.pub"):
        assert stat.S_IMODE((made / name).stat().st_mode) == 0o600
    assert load_or_create_key(made, "checkpoint.key").secrets.keys()


def test_a_journal_that_grew_moved_and_erased_is_the_same(data: Path, journal: SqliteJournal) -> None:
    """The old checkpoint fits, without any secret; a new one is consistent with it, and proves a segment."""
    note = newest(data)
    old = Checkpoint.of(read(note, public_keys(data))[0])
    journal.append(facts(FACTS + 301, FACTS + 400))
    journal.save_snapshot(Snapshot(FACTS + 400, 1, {}))
    journal.erase(Fact(FACTS + 401, 1.0, "user-1", "req", FactsErased([1, 2, FACTS + 1], "asked for")))
    first = journal.sealing_due(0.0, 1 << 60, 1e18)
    assert first == 1
    journal.adopt(journal.seal(first))
    again = Checkpoint.of(read(keep(data, journal), public_keys(data))[0])
    assert again.origin == old.origin
    proof = journal.consistency_proof(old.size, again.size)
    assert verify_consistency(old.size, again.size, proof, old.root, again.root)
    (segment,) = (data / "segments").glob("*.facts")
    root = sealing.Segment(segment).root
    for checkpoint in (old, again):
        path = journal.inclusion_proof(5, checkpoint.size)[LEVEL:]
        assert verify_subtree(root, LEVEL, 0, checkpoint.size, path, checkpoint.root)
        assert not verify_subtree(root, LEVEL, 1, checkpoint.size, path, checkpoint.root)
        assert not verify_subtree(bytes(32), LEVEL, 0, checkpoint.size, path, checkpoint.root)
    assert not verify_subtree(root, LEVEL, 0, (1 << LEVEL) - 1, [], root)
    # While the writer is there, and where nobody has the secrets.
    for secret in ("journal.key", "checkpoint.key"):
        (data / secret).unlink()
    found = verify(data, note)
    assert (found.size, found.checkpoint) == (FACTS + 401, old)


CANARY = "canary-4711"


def erase(journal: SqliteJournal, seq: int) -> None:
    head = journal.head()
    journal.save_snapshot(Snapshot(head, 1, {}))
    journal.erase(Fact(head + 1, 1.0, "user-1", "req", FactsErased([seq], "asked for")))


def holds(folder: Path) -> bool:
    return any(CANARY.encode() in file.read_bytes() for file in folder.rglob("*") if file.is_file())


def restored(backup: Path, data: Path) -> Path:
    restore(backup, data, lambda what, share: None)
    return data


def test_backup_erasure_restore_and_checks_are_one_story(
    data: Path, journal: SqliteJournal, tmp_path: Path
) -> None:
    """A backup from before an erasure has what was erased, and can be erased anew; one from after it has
    nothing of it. The checkpoint of before fits all, and that of after tells which backup is too old."""
    told = FACTS + 301
    journal.append(facts(told, told, CANARY))
    before = Checkpoint.of(read(keep(data, journal), public_keys(data))[0])
    first = newest(data)
    back_up(data, tmp_path / "early", lambda what, share: None)
    erase(journal, told)
    second = keep(data, journal)
    after = Checkpoint.of(read(second, public_keys(data))[0])
    back_up(data, tmp_path / "late", lambda what, share: None)
    assert [holds(folder) for folder in (data, tmp_path / "early", tmp_path / "late")] == [False, True, False]

    late = restored(tmp_path / "late", tmp_path / "late again")
    assert verify(late, first).checkpoint == before
    assert verify(late, second).checkpoint == after
    export(late, tmp_path / "export")
    assert verify_file(tmp_path / "export", [before, after]).compared == [before, after]

    early = restored(tmp_path / "early", tmp_path / "early again")
    assert verify(early, first).checkpoint == before
    with pytest.raises(CheckpointFailed, match="missing"):
        verify(early, second)
    again = opened(early)
    erase(again, told)
    again.close()
    assert not holds(early)
    assert verify(early, first).checkpoint == before


def rewritten(data: Path, count: int, text: str = "x", begin: int = 1) -> None:
    """Write a journal anew with all its keys: with the facts of the old one before `begin`."""
    before = opened(data)
    kept = before.read_after(0, begin - 1)
    before.close()
    for name in ("journal.sqlite", "journal.sqlite-wal", "journal.sqlite-shm", "HEAD", "checkpoint"):
        (data / name).unlink(missing_ok=True)
    shutil.rmtree(data / "segments", ignore_errors=True)
    journal = opened(data)
    journal.append([*kept, *facts(begin, count, text)])
    keep(data, journal)
    journal.close()


@pytest.mark.parametrize(
    ("count", "text", "begin", "says"),
    [
        (FACTS, "x", FACTS, "facts .* are missing"),
        (FACTS + 300, "y", FACTS + 200, "another journal|changed or exchanged"),
        (FACTS + 500, "x", 1, "another journal|changed or exchanged"),
        (1, "x", 1, "are missing"),
    ],
)
def test_who_has_all_keys_is_found_out(data: Path, count: int, text: str, begin: int, says: str) -> None:
    """A cut tail, a suffix of the same length that was written anew, and another journal pass every check of
    the journal itself; the checkpoint that somebody kept finds each."""
    note = newest(data)
    rewritten(data, count, text, begin)
    assert verify(data).checkpoint is None
    with pytest.raises(CheckpointFailed, match=says):
        verify(data, note)


def test_a_changed_fact_needs_no_checkpoint(data: Path, journal: SqliteJournal) -> None:
    """The tree of the journal itself has it."""
    journal._connection().execute("UPDATE facts SET subject = 'task-0' WHERE seq = 700")
    with pytest.raises(JournalDamaged, match="one of facts 513 to 768"):
        verify(data, newest(data))


def test_a_key_that_was_replaced_signed_what_it_signed(
    data: Path, journal: SqliteJournal, tmp_path: Path
) -> None:
    """The next checkpoint is the new key's; the old one's stay good by its public half, also in a backup."""
    old, first = newest(data), public_keys(data)
    secret = (data / "checkpoint.key").read_bytes()
    checkpoints.rotate(data)
    assert (data / "checkpoint.key").read_bytes() != secret
    journal.append(facts(FACTS + 301, FACTS + 301))
    new = keep(data, journal)
    both = public_keys(data)
    assert both[:1] == first
    assert len(both) == 2
    signer = verify(data, old).signer
    assert (signer, verify(data, new).signer) == tuple(both)
    with pytest.raises(NoteRefused, match="none of these keys is known"):
        verify(data, new, first)
    back_up(data, tmp_path / "backup", lambda what, share: None)
    restore(tmp_path / "backup", tmp_path / "restored", lambda what, share: None)
    assert verify(tmp_path / "restored", old).signer == signer


def test_a_rollback_of_journal_and_head_is_found_by_the_checkpoint_beside_them(
    data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Both were put back as they were: verify says what is missing, before a start and after it, until
    somebody has removed the checkpoint that the start kept."""
    shutil.copytree(data, tmp_path / "old")
    journal = opened(data)
    journal.append(facts(FACTS + 301, FACTS + 307))
    was = keep(data, journal)
    journal.close()
    for name in ("journal.sqlite", "HEAD"):
        shutil.copy(tmp_path / "old" / name, data / name)
    missing = f"facts {FACTS + 301} to {FACTS + 307} are missing"
    with pytest.raises(JournalDamaged, match=missing):
        verify(data)
    journal = opened(data)
    assert keep(data, journal) != was
    assert missing in caplog.text
    journal.append(facts(FACTS + 301, FACTS + 320))
    keep(data, journal)
    journal.close()
    with pytest.raises(JournalDamaged, match="some were changed or exchanged"):
        verify(data)
    assert (data / UNMET_FILE).read_text() == was
    (data / UNMET_FILE).unlink()
    assert verify(data).size == FACTS + 320


@pytest.mark.parametrize("text", ["", "\xff", "of nobody", "checkpoint of another key"])
def test_a_checkpoint_in_the_directory_that_nobody_signed_says_nothing(data: Path, text: str) -> None:
    """A damaged file is written again, and the journal is checked without it."""
    if text == "checkpoint of another key":
        seed = b"s" * 32
        text = sign("helix-ray/0\n9\n" + "A" * 43 + "=\n", "helix-ray/0", seed)
    (data / "checkpoint").write_bytes(text.encode("latin-1") if text == "\xff" else text.encode())
    assert verify(data).size == FACTS + 300
    journal = opened(data)
    keep(data, journal)
    journal.close()
    assert not (data / UNMET_FILE).exists()


def test_there_is_none_before_the_first_fact(tmp_path: Path) -> None:
    """Nothing is signed, and whoever asks hears when there will be one."""
    journal = opened(tmp_path)
    assert CheckpointKeeper(tmp_path).due(journal) is None
    journal.close()
    with pytest.raises(CheckpointFailed, match="no checkpoint yet"):
        newest(tmp_path)
    with pytest.raises(CheckpointFailed, match="does not contain a journal"):
        verify(tmp_path / "elsewhere")


def test_a_disk_that_refuses_is_said_once(
    data: Path, journal: SqliteJournal, caplog: pytest.LogCaptureFixture
) -> None:
    """The next one is tried."""
    keeper = CheckpointKeeper(data)
    (data / "checkpoint").unlink()
    (data / "checkpoint").mkdir()
    for _ in range(2):
        due = keeper.due(journal)
        assert due is not None
        keeper.keep(due)
    assert len(caplog.records) == 1
    (data / "checkpoint").rmdir()
    keeper.keep(due)
    assert keeper.due(journal) is None


def test_the_program_verifies_prints_and_rotates(data: Path, tmp_path: Path) -> None:
    """verify says what it compared with; what does not fit is one line and exit code 1."""
    runner, there = CliRunner(), ["--data-dir", str(data)]
    alone = runner.invoke(app, ["journal", "verify", *there])
    assert (alone.exit_code, alone.stdout) == (0, f"verified {data}: facts 1 to {FACTS + 300}\n")
    assert "keep a checkpoint elsewhere" in alone.stderr
    kept = tmp_path / "kept"
    kept.write_text(runner.invoke(app, ["journal", "checkpoint", *there]).stdout)
    assert kept.read_text() == newest(data)
    key = runner.invoke(app, ["journal", "key", *there]).stdout.strip()
    assert Verifier.of(key) == public_keys(data)[0]
    command = ["journal", "verify", *there, "--checkpoint", str(kept)]
    found = runner.invoke(app, command)
    assert (
        found.exit_code,
        f"facts 1 to {FACTS + 300} are those of the checkpoint of helix-ray/" in found.stdout,
    ) == (0, True)
    assert "give the one that you kept with --key" in found.stderr
    assert runner.invoke(app, [*command, "--key", key]).stderr == ""
    assert runner.invoke(app, ["journal", "rotate-key", *there]).exit_code == 0
    with contextlib.closing(opened(data)) as journal:
        journal.append(facts(FACTS + 301, FACTS + 301))
        keep(data, journal)
    assert runner.invoke(app, ["journal", "key", *there]).stdout.splitlines()[0] == key
    rewritten(data, FACTS + 300, "y")
    failed = runner.invoke(app, command)
    assert (failed.exit_code, failed.stdout, failed.stderr.count("\n")) == (1, "", 1)
    assert failed.stderr.startswith("helix journal: ")
