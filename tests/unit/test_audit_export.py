"""Exports of the journal: whatever is changed in one is found, with its seq, by who has an old checkpoint."""

from __future__ import annotations

import io
import json
import os
import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from helix_ray.audit_export.lines import NotAnExport, lines_of
from helix_ray.audit_export.verify import Tampered, VerifiedExport, verify
from helix_ray.audit_export.write import export
from helix_ray.checkpoints import Checkpoint, CheckpointKeeper, newest, origin_of, public_keys
from helix_ray.cli.main import app
from helix_ray.core.events import Fact, FactsErased, TaskCompleted
from helix_ray.journal.sqlite import SqliteJournal
from helix_ray.ports import Snapshot
from helix_ray.security.keys import load_or_create_key

FACTS = 600
KEPT = (100, 255, 512, FACTS)
TAMPERS = int(os.environ.get("HELIX_TAMPERS", "400"))
CHECKER = Path(__file__).parent / "audit_export" / "verify.go"
SECRET = "hunter2-in-a-result"


def facts(first: int, last: int) -> list[Fact]:
    return [
        Fact(seq, 1000.0 + seq // 7, "user-1", f"req-{seq // 9}", TaskCompleted(f"task-{seq}", 1, SECRET))
        for seq in range(first, last + 1)
    ]


def opened(data: Path) -> SqliteJournal:
    ring = load_or_create_key(data, "journal.key")
    return SqliteJournal(data, ring.secrets[ring.current])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes, list[Checkpoint]]:
    """A data directory, its export, and checkpoints that were kept while it grew."""
    data = tmp_path_factory.mktemp("made") / "data"
    data.mkdir(mode=0o700)
    journal = opened(data)
    kept, before = [], 0
    for size in KEPT:
        journal.append(facts(before + 1, size))
        kept.append(Checkpoint(origin_of(journal.leaf(1)), size, journal.root()))
        before = size
    CheckpointKeeper(data).keep_newest(journal)
    journal.close()
    export(data, data.parent / "export")
    return data, (data.parent / "export").read_bytes(), kept


def checked(text: bytes, kept: list[Checkpoint]) -> VerifiedExport:
    return verify(io.BytesIO(text), kept)


def test_an_export_grows_and_proves_itself(tmp_path: Path) -> None:
    """It is continued, also after a torn line, and is the same as one made at once; erasing changes none of
    its lines; no content is in it. A part of it fits the same checkpoint. Another journal's is refused."""
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir(mode=0o700)
    journal = opened(data)
    journal.append(facts(1, 300))
    assert export(data, out) == (0, 300, 300)
    with out.open("ab") as file:
        file.write(b'{"seq":301,"le')
    journal.append(facts(301, 700))
    journal.save_snapshot(Snapshot(700, 1, {}))
    assert export(data, out) == (0, 700, 400)
    at_once = out.read_bytes()
    kept = Checkpoint(origin_of(journal.leaf(1)), 701, b"")
    journal.erase(Fact(701, 1.0, "user-1", "req", FactsErased([1, 2, 301], "asked for")))
    kept = kept._replace(root=journal.root())
    assert export(data, out) == (0, 701, 1)
    assert out.read_bytes().startswith(at_once)
    assert SECRET.encode() not in out.read_bytes()
    assert checked(out.read_bytes(), [kept]).frontier.size == 701
    export(data, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == out.read_bytes()
    assert export(data, tmp_path / "part", after=257) == (257, 701, 444)
    assert checked((tmp_path / "part").read_bytes(), [kept]).compared == [kept]
    with pytest.raises(Tampered, match="begins after fact 257"):
        checked((tmp_path / "part").read_bytes(), [kept._replace(size=200)])
    assert out.stat().st_mode & 0o777 == 0o600
    other = tmp_path / "other"
    other.mkdir(mode=0o700)
    second = opened(other)
    second.append(facts(1, 800))
    with pytest.raises(Tampered, match="does not have the facts of this journal"):
        export(other, out)
    second.close()
    journal.close()


def test_every_bit_and_every_cut(made: tuple[Path, bytes, list[Checkpoint]]) -> None:
    """A flipped bit is found at its line, a cut by the checkpoint: none passes."""
    _, text, _ = made
    lines = text.splitlines(keepends=True)[:5]
    small = b"".join(lines)
    leaves = [json.loads(line)["leaf"] for line in lines[1:]]
    tree = checked(small, [])
    known = [Checkpoint(tree.beginning.origin, len(leaves), tree.frontier.root())]
    checked(small, known)
    for place in range(len(small)):
        at = small[:place].count(b"\n")
        for bit in range(8):
            flipped = bytearray(small)
            flipped[place] ^= 1 << bit
            with pytest.raises((Tampered, NotAnExport)) as found:
                checked(bytes(flipped), known)
            if at:
                assert isinstance(found.value, Tampered)
                assert found.value.first == found.value.last == at
        with pytest.raises((Tampered, NotAnExport)):
            checked(small[:place], known)


def edited(lines: list[bytes], place: int, chance: random.Random) -> int:
    said = json.loads(lines[place])
    name = chance.choice(["header", "digest", "leaf"])
    at = chance.randrange(len(said[name]))
    said[name] = said[name][:at] + ("1" if said[name][at] != "1" else "2") + said[name][at + 1 :]
    lines[place] = json.dumps(said, separators=(",", ":")).encode() + b"\n"
    return place


def removed(lines: list[bytes], place: int, chance: random.Random) -> int:
    del lines[place]
    return place


def exchanged(lines: list[bytes], place: int, chance: random.Random) -> int:
    other = chance.choice([one for one in range(1, len(lines)) if one != place])
    lines[place], lines[other] = lines[other], lines[place]
    return min(place, other)


def inserted(lines: list[bytes], place: int, chance: random.Random) -> int:
    lines.insert(place, lines[chance.randrange(1, len(lines))].replace(b"task", b"tusk"))
    return place


def cut(lines: list[bytes], place: int, chance: random.Random) -> int:
    del lines[place:]
    return place


def rewritten(lines: list[bytes], place: int, chance: random.Random) -> int:
    """Write the end anew with other headers and leaves that fit, as somebody with every key can."""
    headers = [json.loads(line)["header"].replace("user-1", "user-2").encode() for line in lines[place:]]
    digests = [bytes.fromhex(json.loads(line)["digest"]) for line in lines[place:]]
    lines[place:] = lines_of(zip(headers, digests, strict=True), place - 1).splitlines(keepends=True)
    return place


@pytest.mark.parametrize("tamper", [edited, removed, exchanged, inserted, cut, rewritten])
def test_random_tampers(
    made: tuple[Path, bytes, list[Checkpoint]], tamper: Callable[[list[bytes], int, random.Random], int]
) -> None:
    """Each is found: at its seq where the lines show it, else between two checkpoints that were kept."""
    _, text, kept = made
    chance = random.Random(tamper.__name__)
    whole = text.splitlines(keepends=True)
    for _ in range(-(-TAMPERS // 6)):
        lines = list(whole)
        seq = tamper(lines, chance.randrange(1, len(lines)), chance)
        with pytest.raises(Tampered) as found:
            checked(b"".join(lines), kept)
        first, last = found.value.first, found.value.last
        before = max((one.size for one in kept if one.size < seq), default=0)
        if tamper is rewritten:
            # The journal's name is made of fact 1, which shows by itself.
            end = next(size for size in KEPT if size >= seq) if seq > 1 else 1
            assert (first, last) == (before + 1, end)
        elif tamper is cut:
            assert first == seq
        else:
            assert first == last == seq or (tamper is removed and seq == FACTS == first)


def test_only_a_checkpoint_finds_what_fits_together(made: tuple[Path, bytes, list[Checkpoint]]) -> None:
    """A rewritten end passes without one; a checkpoint of another journal, or of more facts, is refused."""
    _, text, kept = made
    lines = text.splitlines(keepends=True)
    rewritten(lines, 400, random.Random(1))
    assert checked(b"".join(lines), []).frontier.size == FACTS
    with pytest.raises(Tampered, match="one of facts 256 to 512 is not that of the checkpoint"):
        checked(b"".join(lines), kept)
    with pytest.raises(Tampered, match="another journal"):
        checked(text, [kept[0]._replace(origin="helix-ray/other")])


def test_the_command(made: tuple[Path, bytes, list[Checkpoint]], tmp_path: Path) -> None:
    """It says "internal only" without a checkpoint, needs the key with one, and ends with 1 when tampered."""
    data, text, _ = made
    out, note = tmp_path / "out", tmp_path / "note"
    note.write_text(newest(data))
    run = CliRunner()
    wrote = run.invoke(app, ["audit", "export", "--out", str(out), "--data-dir", str(data)])
    assert wrote.stdout == f"{out} has facts 1 to {FACTS}; {FACTS} were added\n"
    assert out.read_bytes() == text
    alone = run.invoke(app, ["audit", "verify", str(out)])
    assert alone.exit_code == 0
    assert "internal only" in alone.stderr
    arguments = ["audit", "verify", str(out), "--checkpoint", str(note)]
    assert run.invoke(app, arguments).exit_code == 1
    arguments += ["--key", public_keys(data)[-1].line()]
    found = run.invoke(app, arguments)
    assert f"facts 1 to {FACTS} are those of the checkpoint of helix-ray/" in found.stdout
    assert not found.stderr
    out.write_bytes(text.replace(b"task-77", b"task-78"))
    tampered = run.invoke(app, arguments)
    assert tampered.exit_code == 1
    assert tampered.stderr == "helix audit: the line of fact 77 was changed, moved, added or removed\n"
    out.write_text("time,user,action\n")
    other = run.invoke(app, ["audit", "verify", str(out)])
    assert other.stderr.startswith(f"helix audit: {out}: its first line is not that of an export of facts")
    unsigned = run.invoke(app, ["audit", "verify", str(out), "--checkpoint", str(out), *arguments[-2:]])
    assert unsigned.stderr.startswith(f"helix audit: {out}: this is not a signed note")


@pytest.mark.parametrize("command", [["audit", "export", "--out", "{}/out"], ["journal", "verify"]])
@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\0" * 65_536, "journal.sqlite cannot be read (file is not a database): restore a backup"),
        (b"", "journal.sqlite does not contain a journal"),
    ],
)
def test_a_journal_that_cannot_be_read_is_named(
    made: tuple[Path, bytes, list[Checkpoint]], tmp_path: Path, command: list[str], content: bytes, says: str
) -> None:
    """In one line, with what to do."""
    data = tmp_path / "data"
    shutil.copytree(made[0], data)
    (data / "journal.sqlite").write_bytes(content)
    run = CliRunner().invoke(app, [word.format(tmp_path) for word in command] + ["--data-dir", str(data)])
    assert run.exit_code == 1
    assert says in run.stderr
    assert run.stderr.count("\n") == 1


@pytest.mark.parametrize("content", [b"minutes of the meeting", b"\xff\x00", b"x\n", b'{"helix_expo\n'])
def test_a_file_of_somebody_else_stays(
    made: tuple[Path, bytes, list[Checkpoint]], tmp_path: Path, content: bytes
) -> None:
    """Also one without the end of a line, which is not what a kill left of an export."""
    out = tmp_path / "out"
    out.write_bytes(content)
    with pytest.raises(NotAnExport):
        export(made[0], out)
    assert out.read_bytes() == content


def test_go_agrees(
    made: tuple[Path, bytes, list[Checkpoint]], tmp_path: Path, require: Callable[[str], str]
) -> None:
    """A program in Go, of its standard library alone, verifies note, leaves and root, and finds an edit."""
    data, text, _ = made
    out, note, program = tmp_path / "out", tmp_path / "note", tmp_path / "verify"
    note.write_text(newest(data))
    environment = {**os.environ, "GOCACHE": str(tmp_path / "cache"), "GO111MODULE": "off"}
    subprocess.run([require("go"), "build", "-o", program, CHECKER], check=True, timeout=240, env=environment)
    for content, expected in (
        (text, f"facts 1 to {FACTS} are those of the checkpoint\n"),
        (text.replace(b"task-77", b"task-78"), "fact 77 was changed\n"),
    ):
        out.write_bytes(content)
        ran = subprocess.run(
            [program, out, note, public_keys(data)[-1].line()],
            capture_output=True, text=True, timeout=200, check=False,
        )  # fmt: skip
        assert ran.stdout == expected
