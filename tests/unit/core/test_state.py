"""Classes, queues and shelves: what the scheduler sees of a spec, and what is kept how long."""

from __future__ import annotations

from typing import Any

import pytest

from helix_ray.core import orders as o
from helix_ray.core.access import SYSTEM
from helix_ray.core.events import ReceiptKept
from helix_ray.core.evolve import receipts
from helix_ray.core.ready_queue import ReadyQueue
from helix_ray.core.state import class_of, demand_of
from tests.unit.core.stage import COMMAND, Stage, spec


@pytest.mark.parametrize(
    ("resources", "demand"),
    [
        (None, (("cpu", 1.0),)),
        ({}, (("cpu", 1.0),)),
        ({"cpu": 0}, ()),
        ({"gpu": 1, "memory_mb": 512}, (("cpu", 1.0), ("gpu", 1.0), ("memory_mb", 512.0))),
        ({"cpu": 2, "npu": 0, "custom": {"licence": 1, "none": 0}}, (("cpu", 2.0), ("licence", 1.0))),
        ({"cpu": 2, "custom": None}, (("cpu", 2.0),)),
    ],
)
def test_demands(resources: dict[str, Any] | None, demand: tuple[tuple[str, float], ...]) -> None:
    """Sorted, without zeros, one CPU unless said otherwise."""
    assert demand_of(resources) == demand


@pytest.mark.parametrize(
    ("fields", "kind", "signature"),
    [
        ({}, "external", "building"),
        ({"run": COMMAND}, "command", ""),
        ({"run": {"kind": "function", "function": "m:f"}}, "function", "m:f"),
        ({"run": {"kind": "function", "payload": "x"}}, "function", ""),
        ({"run": {"kind": "inference", "model": "digits"}}, "inference", "digits"),
    ],
)
def test_classes(fields: dict[str, Any], kind: str, signature: str) -> None:
    """Like tasks share a class, whatever order their capabilities and labels come in."""
    task_class = class_of(spec(**fields))
    assert (task_class.kind, task_class.signature) == (kind, signature)
    one = class_of(spec(required_capabilities=["b", "a"], labels={"y": "1", "x": "2"}))
    assert one == class_of(spec(required_capabilities=["a", "b"], labels={"x": "2", "y": "1"}))


def test_the_head_of_a_queue_ages() -> None:
    """A level counts as `aging_s` of waiting; at a tie the higher level goes first."""
    queue = ReadyQueue()
    assert queue.head(600.0) is None
    queue.add("old", 1, 0.0, first=False)
    queue.add("urgent", 2, 600.0, first=False)
    assert queue.head(600.0) == (-600.0, 2)
    assert queue.head(599.0) == (-599.0, 1)
    queue.discard("urgent", 2)
    queue.discard("urgent", 2)
    assert (queue.head(600.0), queue.size) == ((-600.0, 1), 1)


def test_the_shelves_of_receipts_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """By number and by time, the oldest first; a key that is used again after its time is the youngest."""
    monkeypatch.setattr(receipts, "CLIENT_RECEIPTS_MAX", 3)
    stage = Stage()

    def keep(key: str) -> list[str]:
        stage.give(o.NoteRefusals(()), SYSTEM, key=key, fingerprint="f")
        return list(stage.state.client_receipts)

    for key in ("a", "b", "c"):
        keep(key)
    assert keep("d") == ["b", "c", "d"]
    stage.now += stage.policy.client_receipt_ttl_s + 1
    assert keep("e") == ["e"]
    stage.now += 1
    keep("f")
    stage.now = stage.state.client_receipts["e"].until + 0.5
    assert keep("e") == ["f", "e"]


def test_a_receipt_that_is_out_of_date_is_not_kept() -> None:
    """However it got into the journal: folding is total."""
    stage = Stage()
    stage.fold(ReceiptKept("k", "f", {}, until=stage.now - 1))
    assert not stage.state.client_receipts
