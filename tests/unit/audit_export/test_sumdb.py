"""The packages with which Go checks its checksum database accept checkpoints and proofs, if unchanged."""

from __future__ import annotations

import json
import os
import subprocess
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from helix_ray.checkpoints import Checkpoint, CheckpointKeeper, newest, origin_of, public_keys
from helix_ray.core.events import Fact, TaskReleased
from helix_ray.journal.sqlite import SqliteJournal
from helix_ray.security.keys import load_or_create_key

FACTS = 300
CHECKER = Path(__file__).parent / "sumdb.go"


def base64_of(path: list[bytes]) -> list[str]:
    return [b64encode(node).decode() for node in path]


@pytest.fixture
def proven(tmp_path: Path) -> tuple[str, str, dict[str, Any]]:
    """A checkpoint, its verifier line, and every proof that there is for it."""
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    ring = load_or_create_key(data, "journal.key")
    journal = SqliteJournal(data, ring.secrets[ring.current])
    journal.append([
        Fact(seq, 1000.0 + seq // 7, "user-1", f"req-{seq // 9}", TaskReleased(f"task-{seq}"))
        for seq in range(1, FACTS + 1)
    ])  # fmt: skip
    CheckpointKeeper(data).keep_newest(journal)
    seqs = range(1, FACTS + 1)
    parts = journal._stored().parts(0, FACTS)
    proofs = {
        "Records": [
            {"Seq": seq, "Header": header.decode(), "Digest": digest.hex(),
             "Path": base64_of(journal.inclusion_proof(seq))}
            for seq, (header, digest) in zip(seqs, parts, strict=True)
        ],
        "Trees": [
            {"Size": size, "Root": b64encode(journal.root(size)).decode(),
             "Path": base64_of(journal.consistency_proof(size))}
            for size in seqs
        ],
    }  # fmt: skip
    assert Checkpoint.of(newest(data)).origin == origin_of(journal.leaf(1))
    journal.close()
    return newest(data), public_keys(data)[-1].line(), proofs


def test_the_checksum_database_of_go_agrees(
    proven: tuple[str, str, dict[str, Any]], tmp_path: Path, require: Callable[[str], str]
) -> None:
    """Its note and its tlog, from Go's own sources: the signature, every inclusion, every consistency."""
    note, verifier, proofs = proven
    go = require("go")
    root = subprocess.run([go, "env", "GOROOT"], capture_output=True, text=True, check=True).stdout.strip()
    sources = tmp_path / "path"
    sources.mkdir()
    (sources / "src").symlink_to(Path(root) / "src" / "cmd" / "vendor")
    environment = {
        **os.environ, "GOCACHE": str(tmp_path / "cache"), "GO111MODULE": "off", "GOPATH": str(sources)
    }  # fmt: skip
    program = tmp_path / "sumdb"
    subprocess.run([go, "build", "-o", program, CHECKER], check=True, timeout=240, env=environment)

    def said(note: str, proofs: dict[str, Any]) -> str:
        (tmp_path / "note").write_text(note)
        (tmp_path / "proofs").write_text(json.dumps(proofs))
        command = [program, tmp_path / "note", verifier, tmp_path / "proofs"]
        return subprocess.run(command, capture_output=True, text=True, timeout=200, check=False).stdout

    assert f": {FACTS} records and {FACTS} trees of {FACTS} facts of helix-ray/" in said(note, proofs)
    assert "invalid signature" in said(note.replace(f"\n{FACTS}\n", f"\n{FACTS - 1}\n"), proofs)
    records, trees = proofs["Records"], proofs["Trees"]
    changed = {**records[7], "Header": records[7]["Header"].replace("user-1", "user-2")}
    assert "invalid" in said(note, {"Records": [changed]})
    assert "invalid" in said(note, {"Records": [{**records[7], "Seq": 9}]})
    assert "invalid" in said(note, {"Trees": [{**trees[7], "Root": trees[8]["Root"]}]})
