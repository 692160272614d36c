"""Checkpoints and proofs about the journal, over HTTP, verified as an auditor does."""

from __future__ import annotations

import threading
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from helix_ray.checkpoints import Checkpoint
from helix_ray.client import Client
from helix_ray.core.orders import CreateProject, NoteCheckpoint
from helix_ray.journal.memory import MemoryJournal
from helix_ray.journal.proofs import verify_consistency, verify_inclusion
from helix_ray.security import notes
from helix_ray.wire.audit_proofs import CheckpointsOut, ConsistencyOut, InclusionOut
from tests.http.api_server import error_of
from tests.http.fleet import Fleet
from tests.http.running_node import Helix
from tests.http.shapes import shaped

CHECKPOINT, PROOF = "/aurora/audit/checkpoint", "/aurora/audit/proof"


def proof(fleet: Fleet, kind: str, **query: int) -> dict[str, Any]:
    answer = fleet.admin.get(f"{PROOF}/{kind}", params=query)
    assert answer.status_code == 200, answer.text
    content: dict[str, Any] = answer.json()
    return content


def path_of(found: dict[str, Any]) -> list[bytes]:
    return [b64decode(node) for node in found["path"]]


def test_proofs_verify_against_the_signed_checkpoint(fleet: Fleet) -> None:
    """A signed root, and every fact is in the tree with that root, which begins with each smaller one."""
    for name in "abc":
        fleet.node(name)
    answer = fleet.admin.get(CHECKPOINT, headers={"Accept": "text/plain"})
    assert answer.headers["content-type"].startswith("text/plain")
    origin = answer.text.partition("\n")[0]
    text, _ = notes.read(answer.text, [notes.verifier_of(origin, fleet.api.plane.checkpoint_seed)])
    checkpoint = Checkpoint.of(text)
    size, root = checkpoint.size, checkpoint.root
    for seq in range(1, size + 1):
        found = proof(fleet, "inclusion", seq=seq, size=size)
        shaped(InclusionOut, found)
        assert verify_inclusion(b64decode(found["leaf"]), seq, size, path_of(found), root)
        found = proof(fleet, "consistency", **{"from": seq, "to": size})
        shaped(ConsistencyOut, found)
        assert verify_consistency(seq, size, path_of(found), b64decode(found["old_root"]), root)
    as_json = fleet.admin.get(CHECKPOINT, headers={"Accept": "application/json"}).json()
    assert as_json["checkpoint"].startswith(origin)


def test_auditors_ask_with_the_client_and_others_may_not(fleet: Fleet) -> None:
    """The client's answers verify; a developer is refused all three."""
    auditor, developer = fleet.api.add("proving", "auditor"), fleet.api.add("building", "developer")
    for path in (CHECKPOINT, f"{PROOF}/inclusion?seq=1", f"{PROOF}/consistency?from=1"):
        error_of(developer.get(path), 403, "FORBIDDEN")
    with Client(fleet.api.url, auditor.headers["Authorization"].split()[1]) as client:
        assert client.audit_checkpoint().count("\n") >= 4
        found = client.prove_inclusion(1)
        root, path = b64decode(found["root"]), [b64decode(node) for node in found["path"]]
        assert verify_inclusion(b64decode(found["leaf"]), 1, found["size"], path, root)
        grown = client.prove_consistency(1, found["size"])
        path = [b64decode(node) for node in grown["path"]]
        assert verify_consistency(1, found["size"], path, b64decode(grown["old_root"]), root)


def test_recorded_checkpoints_are_told_and_listed(fleet: Fleet) -> None:
    """To auditors: as events, and in pages, the newest first."""
    auditor, developer = fleet.api.add("listing", "auditor"), fleet.api.add("hearing", "developer")
    for size in (1, 2, 3):
        fleet.api.plane.give(NoteCheckpoint(size, f"root-{size}", f"note-{size}"))
    error_of(developer.get(f"{CHECKPOINT}s"), 403, "FORBIDDEN")
    first = shaped(CheckpointsOut, auditor.get(f"{CHECKPOINT}s", params={"limit": 2}).json())
    assert [each["checkpoint"] for each in first["checkpoints"]] == ["note-3", "note-2"]
    with Client(fleet.api.url, auditor.headers["Authorization"].split()[1]) as client:
        rest = client.audit_checkpoints(cursor=first["next_cursor"])
        assert ([each["size"] for each in rest["checkpoints"]], rest["next_cursor"]) == ([1], None)
        with client.events(["audit.*"], after=0) as events:
            told = next(iter(events))
        assert told["event"] == "audit.checkpoint_signed"
        assert told["data"] == {"size": 1, "root": "root-1", "checkpoint": "note-1"}
    error_of(auditor.get(f"{CHECKPOINT}s", params={"cursor": "x' OR 1=1"}), 400, "VALIDATION_ERROR")


def test_what_is_not_in_the_journal_is_refused(fleet: Fleet) -> None:
    far = 10**9
    error_of(fleet.admin.get(f"{PROOF}/inclusion", params={"seq": far}), 404, "NOT_FOUND")
    for kind, query in (
        ("inclusion", {"seq": 1, "size": far}), ("inclusion", {"seq": 2, "size": 1}), ("inclusion", {}),
        ("consistency", {"from": 2, "to": 1}), ("consistency", {"from": 1, "to": far}), ("consistency", {}),
    ):  # fmt: skip
        error_of(fleet.admin.get(f"{PROOF}/{kind}", params=query), 400, "VALIDATION_ERROR")


@contextmanager
def receiving(told: list[bytes]) -> Iterator[str]:
    """Give the URL of a receiver of one message."""

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Receiver) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        thread.join()


def test_a_witness_follows_with_a_token(
    fleet: Fleet, helix: Helix, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program sees that the journal grows, and that it was exchanged: exit code 1, at each look from then
    on, and a message to the webhook."""
    auditor = fleet.api.add("witnessing", "auditor")
    monkeypatch.setenv("HELIX_URL", fleet.api.url)
    monkeypatch.setenv("HELIX_TOKEN", auditor.headers["Authorization"].split()[1])
    plane = fleet.api.plane
    note = fleet.admin.get(CHECKPOINT).text
    key = notes.verifier_of(note.partition("\n")[0], plane.checkpoint_seed).line()
    words = ("audit", "witness", "--state", str(tmp_path / "state"), "--key", key, "--name", "w1", "--once")
    first = helix(*words)
    assert (first.code, first.err) == (0, "")
    assert first.out.startswith("witness w1+")
    fleet.node("another")
    assert "begin with all that was seen before" in helix(*words).out
    # A past that fits together: the leaves have other salts.
    journal = plane.engine.journal
    assert isinstance(journal, MemoryJournal)
    journal._leaves[1:] = [bytes(32) for _ in journal._leaves[1:]]
    plane.give(CreateProject("p", "p"))
    told: list[bytes] = []
    with receiving(told) as hook:
        found = helix(*words, "--webhook", hook)
    assert found.code == 1
    assert "INCONSISTENT: the log is not consistent: its first" in found.err
    assert b"audit.inconsistent" in told[0]
    assert helix(*words).code == 1
