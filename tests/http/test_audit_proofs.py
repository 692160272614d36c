"""Checkpoints and proofs about the journal, over HTTP, verified as an auditor does."""

from __future__ import annotations

from base64 import b64decode
from typing import Any

from helix_ray.checkpoints import Checkpoint
from helix_ray.client import Client
from helix_ray.journal.proofs import verify_consistency, verify_inclusion
from helix_ray.security import notes
from helix_ray.wire.audit_proofs import ConsistencyOut, InclusionOut
from tests.http.api_server import error_of
from tests.http.fleet import Fleet
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


def test_what_is_not_in_the_journal_is_refused(fleet: Fleet) -> None:
    far = 10**9
    error_of(fleet.admin.get(f"{PROOF}/inclusion", params={"seq": far}), 404, "NOT_FOUND")
    for kind, query in (
        ("inclusion", {"seq": 1, "size": far}), ("inclusion", {"seq": 2, "size": 1}), ("inclusion", {}),
        ("consistency", {"from": 2, "to": 1}), ("consistency", {"from": 1, "to": far}), ("consistency", {}),
    ):  # fmt: skip
        error_of(fleet.admin.get(f"{PROOF}/{kind}", params=query), 400, "VALIDATION_ERROR")
