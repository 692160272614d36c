"""What a policy has recorded of reads, and of what an answer is a read."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from helix_ray.core import questions as q
from helix_ray.core.access import CONTENT_READERS, SYSTEM
from helix_ray.core.audit.records import records_of
from helix_ray.core.decide.outcome import Decision
from helix_ray.core.events import DataRead, Fact
from helix_ray.core.orders import NoteReads
from helix_ray.core.read_classes import ALWAYS, READ_CLASSES, recorded
from helix_ray.core.reads import Read, read_before, read_of
from tests.unit.core.stage import Stage


def test_a_policy_names_classes() -> None:
    """The audit is always among them; a name that is none is refused with those that are."""
    assert recorded([]) == ALWAYS == {"audit"}
    assert recorded(["results", "logs"]) == {"audit", "results", "logs"}
    assert recorded(["all"]) == set(READ_CLASSES)
    with pytest.raises(ValueError, match=r"secrets is not a class of reads: audit, tasks, .*, all"):
        recorded(["secrets"])


def test_each_class_has_a_question() -> None:
    """And every question that only readers of contents may ask has a class, or is about no content."""
    kinds = get_args(q.Question)
    assert {kind.reads for kind in kinds} - {None} == set(READ_CLASSES)
    assert {kind for kind in kinds if kind.allowed == CONTENT_READERS and kind.reads is None} == set()


LOG = {"text": "x", "attempt": 1}


# Records of the audit: of one who follows it, and of one who looks for something behind a seq.
FOLLOWER = {"action": "read_audit", "details": {"asked": "after=3"}}
READER = {"action": "read_audit", "details": {"asked": "after=3 text"}}


@pytest.mark.parametrize(
    ("question", "view", "read"),
    [
        (q.GetTask("task-1"), {"id": "task-1"}, Read("tasks", ("task-1",))),
        (q.GetResult("task-1"), {"id": "task-1"}, Read("results", ("task-1",))),
        (q.GetUser(username="ada"), {"id": "user-1"}, Read("users", ("user-1",))),
        (q.ListUsers(), {"users": []}, Read("users")),
        (q.ReadLog("task-1"), LOG, Read("logs", ("task-1",))),
        (q.ReadLog("task-1"), {**LOG, "text": ""}, None),
        (q.ReadItems("task-1"), {"data": b"x"}, Read("results", ("task-1",))),
        (q.WaitTasks(("a", "b")), {"done": [{"id": "b"}]}, Read("results", ("b",))),
        (q.WaitTasks(("a",)), {"done": []}, None),
        (q.WaitTasks(("a",), results=False), {"done": [{"id": "a"}]}, None),
        (
            q.ListAudit(user="user-1", text="Ada", limit=5),
            {"rows": []},
            Read("audit", (), "user=user-1 text"),
        ),
        (q.ListAudit(), {"rows": []}, Read("audit")),
        (q.ListAudit(after=7), {"rows": []}, None),
        (q.ListAudit(after=7, limit=5), {"rows": [FOLLOWER]}, None),
        (q.ListAudit(after=7), {"rows": [FOLLOWER, READER]}, Read("audit", (), "after=7")),
        (q.ListAudit(after=7, action="login"), {"rows": []}, Read("audit", (), "action=login after=7")),
        (q.ListTasks(), {"tasks": []}, None),
    ],
)
def test_an_answer_is_a_read_of_things(question: Any, view: Any, read: Read | None) -> None:
    """The things are named by their ids; what was looked for, without the text. Nothing read is no read."""
    assert read_of(question, view) == read


@pytest.mark.parametrize(
    ("question", "read"),
    [
        (q.ListAudit(user="user-1"), Read("audit", (), "user=user-1")),
        (q.ListAudit(after=7, action="login"), Read("audit", (), "action=login after=7")),
        (q.ListAudit(after=7, limit=5), None),
        (q.GetTask("task-1"), None),
    ],
)
def test_searches_of_the_audit_are_known_before_their_answer(question: Any, read: Read | None) -> None:
    """But pages of those who follow it, and other reads: they depend on what is found."""
    assert read_before(question) == read


def test_reads_are_facts_of_their_readers(stage: Stage) -> None:
    """The fact's author is the reader; a class that there is not is refused."""
    decided = stage.decide(NoteReads("user-1", "results", 3, ("task-1", "task-2")), SYSTEM)
    assert isinstance(decided, Decision)
    assert (decided.author, decided.events) == ("user-1", [DataRead("results", 3, ["task-1", "task-2"])])
    for wrong in (NoteReads("user-1", "gossip"), NoteReads("user-1", "logs", 0)):  # type: ignore[arg-type]
        assert stage.refuse(wrong, SYSTEM).details["field"] == "read"


def test_a_record_says_what_was_read() -> None:
    """Every thing is named, however many: who has read a result is asked after it has leaked."""
    ids = [f"task-{n}" for n in range(50)]
    fact = Fact(1, 1.0, "user-1", "req-1", DataRead("results", 60, ids))
    (record,) = records_of([fact])
    assert (record.event_type, record.action, record.resource) == ("data_access", "read_results", "results")
    assert (record.user_id, record.count, record.ids) == ("user-1", 60, ids)
    (gap,) = records_of([Fact(2, 1.0, "system", "req-2", DataRead("logs", 7, gap=True))])
    assert (gap.count, gap.details["gap"]) == (7, True)
