"""What is to be exported first is neither erased nor removed before somebody has said that it was."""

from __future__ import annotations

from typing import Any

import pytest

from helix_ray.core import events as ev
from helix_ray.core import orders as o
from helix_ray.core.access import SYSTEM
from helix_ray.core.errors import ErrorCode
from helix_ray.core.policy import Policy
from tests.unit.core.stage import ADMIN, DEV, OTHER, Stage, spec

ROOT = "A" * 43 + "="


@pytest.fixture
def demanding() -> Stage:
    return Stage(Policy(audit_keep_until_exported=True))


def erase(**named: tuple[str, ...]) -> o.RequestErasure:
    return o.RequestErasure(named.get("tasks", ()), named.get("users", ()), "asked for")


def export(stage: Stage, through: int) -> None:
    stage.give(o.AcknowledgeExport("vault", through), ADMIN)


def test_it_is_recorded_who_has_what(demanding: Stage) -> None:
    """With the checkpoint and what is missing; an older export takes nothing back."""
    demanding.give(o.CreateProject("p", "p"), ADMIN)
    demanding.give(o.AcknowledgeExport("siem.example", 1, 1, ROOT, 1, 1), ADMIN)
    assert demanding.facts[-1].event == ev.AuditExported("siem.example", 1, 1, ROOT, 1, 1)
    export(demanding, 2)
    export(demanding, 1)
    assert demanding.state.exported_through == 2


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": "two words"}, "name"),
        ({"name": "n" * 101}, "name"),
        ({"through": 0}, "through"),
        ({"through": 2}, "through"),
        ({"checkpoint_size": 1}, "checkpoint"),
        ({"checkpoint_root": ROOT}, "checkpoint"),
        ({"checkpoint_size": 2, "checkpoint_root": ROOT}, "checkpoint"),
        ({"gap_from": 1}, "gap"),
        ({"gap_from": 1, "gap_to": 2}, "gap"),
    ],
)
def test_what_cannot_be_is_refused(demanding: Stage, fields: dict[str, Any], field: str) -> None:
    """Facts that are not there yet, and what is no checkpoint."""
    demanding.give(o.CreateProject("p", "p"), ADMIN)
    refused = demanding.refuse(o.AcknowledgeExport(**{"name": "vault", "through": 1, **fields}), ADMIN)
    assert (refused.code, refused.details["field"]) == (ErrorCode.VALIDATION_ERROR, field)


def test_a_person_is_erased_after_their_audit_was_exported(demanding: Stage) -> None:
    """The refusal says up to which fact it must be, and what to do."""
    demanding.give(o.RemoveUser("dev"), ADMIN)
    removed = demanding.state.seq
    refused = demanding.refuse(erase(users=(DEV.id,)), ADMIN)
    assert refused.code is ErrorCode.CONFLICT
    assert "helix audit forward" in refused.message
    assert refused.details["needed"] == removed
    export(demanding, removed)
    demanding.give(erase(users=(DEV.id,)), ADMIN)


def test_a_task_is_erased_after_its_audit_was_exported(demanding: Stage) -> None:
    """Of a task that has left memory only is known that it ended before the newest of those."""
    ids = ["task-a", "task-b"]
    for task_id in ids:
        demanding.give(o.SubmitTasks((spec(),)), OTHER, seed=task_id.removeprefix("task-"))
    for task_id in ids:
        demanding.give(o.CancelTask(task_id), OTHER)
    ended = [demanding.state.tasks[task_id].finished_seq for task_id in ids]
    assert demanding.refuse(erase(tasks=(ids[0],)), ADMIN).details["needed"] == ended[0]
    export(demanding, ended[0])
    demanding.give(erase(tasks=(ids[0],)), ADMIN)
    demanding.now += 1
    demanding.give(o.ArchiveTasks(demanding.state.seq, demanding.now), SYSTEM)
    assert demanding.refuse(erase(tasks=(ids[1],)), ADMIN).details["needed"] == ended[1]
    export(demanding, ended[1])
    demanding.give(erase(tasks=(ids[1],)), ADMIN)


def test_nothing_waits_where_it_is_not_demanded() -> None:
    """By default."""
    stage = Stage()
    stage.give(o.RemoveUser("dev"), ADMIN)
    stage.give(erase(users=(DEV.id,)), ADMIN)


def test_how_long_the_audit_stays_is_recorded(demanding: Stage) -> None:
    """At first, where it changes, and where the history begins anew; the state has the last."""
    given = [
        (60.0, False, True),
        (60.0, False, False),
        (60.0, True, False),
        (90.0, True, False),
        (90.0, True, True),
    ]
    for each in given:
        demanding.give(o.NoteRetention(*each), SYSTEM)
    said = [fact.event for fact in demanding.facts]
    assert said == [ev.AuditRetentionSet("audit", *each) for each in given if each != given[1]]
    assert (demanding.state.audit_keep_s, demanding.state.audit_until_exported) == (90.0, True)
