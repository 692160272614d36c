"""Sharded tasks: one for their owner, many for the scheduler."""

from __future__ import annotations

from typing import Any

import pytest

from helix_ray.core import orders as o
from helix_ray.core.access import SYSTEM
from helix_ray.core.errors import ErrorCode
from helix_ray.core.orders import AttemptReport
from helix_ray.core.policy import Policy
from helix_ray.core.views.tasks import task_view
from tests.unit.core.stage import ADMIN, COMMAND, NODE, NODE_2, OTHER, Stage, spec


def sharded(stage: Stage, count: int = 2, *, gang: bool = False, **fields: Any) -> tuple[str, list[str]]:
    """Submit a sharded task on a stage with two nodes; return its id and those of its shards."""
    if NODE not in stage.state.workers:
        stage.add_node()
        stage.add_node(NODE_2)
    whole, *shards = stage.submit(spec(run=COMMAND, shards={"count": count, "gang": gang}, **fields))
    return whole, shards


def test_it_is_taken_in_with_a_task_for_each_shard() -> None:
    """The shards carry its fields, their index and a title of their own; its
    deadline stays with the whole."""
    stage = Stage()
    whole, shards = sharded(stage, 3, labels={"zone": "a"}, deadline=stage.now + 50)
    assert shards == [f"{whole}-s{i}" for i in range(3)]
    first = stage.task(shards[0])
    assert first.spec["shard"] == {"of": whole, "index": 0, "count": 3, "gang": False}
    assert (first.spec["title"], first.spec["labels"]) == ("a task [1/3]", {"zone": "a"})
    assert "deadline" not in first.spec
    assert "shards" not in first.spec
    assert stage.task(whole).task_class.kind == "sharded"
    assert stage.sound()


def test_it_runs_with_its_first_shard_and_ends_with_its_last() -> None:
    """Results are gathered in order of the shards, whichever ended first; progress counts the shards."""
    stage = Stage()
    whole, (first, second) = sharded(stage)
    stage.start(second)
    assert (stage.task(whole).status, stage.task(whole).attempt, stage.task(whole).worker) == (
        "running",
        1,
        None,
    )
    stage.end(second, result={"value": "b"})
    assert (stage.task(whole).progress, task_view(stage.task(whole))["shards"]["completed"]) == (50.0, 1)
    stage.start(first, worker=NODE_2)
    stage.now += 7
    stage.end(first, result={"value": "a"})
    ended = stage.task(whole)
    assert (ended.status, ended.progress) == ("completed", 100.0)
    assert ended.result == {"success": True, "shards": [{"value": "a"}, {"value": "b"}]}
    assert task_view(ended)["shards"] == {"count": 2, "gang": False, "completed": 2}
    assert stage.state.durations.average_s(ended.task_class[:3]) == 7
    assert stage.sound()


def test_the_progress_of_a_parent_counts_what_running_shards_have_done() -> None:
    """Their mean, as they have as many rows each; at most once a second, and it never goes back."""
    stage = Stage()
    whole, (first, second) = sharded(stage)
    stage.start(first, second)

    def reach(**percents: float) -> float:
        reports = (
            AttemptReport(shard, stage.task(shard).attempt, "progressed", progress=percents[name])
            for name, shard in (("first", first), ("second", second)) if name in percents
        )  # fmt: skip
        stage.report(*reports)
        return stage.task(whole).progress

    stage.now += 1
    assert reach(first=40.0, second=20.0) == 30.0
    assert reach(first=60.0) == 30.0
    stage.now += 1
    assert reach(second=60.0) == 60.0
    stage.end(first, result={"value": "a"})
    stage.now += 1
    assert reach(second=100.0) == 99.0
    stage.report(AttemptReport(second, 1, "lost"))
    stage.start(second)
    stage.now += 1
    assert reach(second=10.0) == 99.0
    assert stage.sound()


def test_shards_that_end_in_one_order_complete_it_once() -> None:
    """And what waits for it is released."""
    stage = Stage()
    whole, shards = sharded(stage)
    (waiting,) = stage.submit(spec(depends_on=[whole]))
    stage.start(*shards)
    stage.report(*(AttemptReport(i, 1, "completed", {"value": i}) for i in shards))
    assert stage.task(whole).result["shards"] == [{"value": i} for i in shards]
    assert stage.task(waiting).status == "pending"
    assert stage.kinds().count("TaskCompleted") == 3


def test_a_lost_shard_is_placed_again_alone() -> None:
    """The others go on, and so does the whole."""
    stage = Stage()
    whole, (first, second) = sharded(stage, gang=True)
    stage.start(first)
    stage.start(second, worker=NODE_2)
    stage.give(o.LoseWorker(NODE_2, "gone"), SYSTEM)
    assert [stage.task(i).status for i in (whole, first, second)] == ["running", "running", "pending"]
    stage.start(second)
    assert stage.task(whole).attempt == 1
    stage.end(first)
    stage.end(second)
    assert stage.task(whole).status == "completed"


def test_a_shard_that_fails_for_good_fails_it() -> None:
    """The other shards are cancelled, also one that reports its end in the same order;
    the reason names the shard."""
    stage = Stage()
    whole, (first, second, third) = sharded(stage, 3)
    (waiting,) = stage.submit(spec(depends_on=[whole]))
    stage.start(first, second)
    bad = AttemptReport(first, 1, "failed", error={"reason": "failed", "message": "boom"})
    stage.report(bad, AttemptReport(second, 1, "completed", {"value": 2}))
    assert [stage.task(i).status for i in (first, second, third)] == ["failed", "cancelled", "cancelled"]
    error = stage.task(whole).error or {}
    assert (stage.task(whole).status, error["reason"], error["shard"]) == ("failed", "shard_failed", first)
    assert error["message"] == "shard 0 failed: boom"
    assert stage.task(waiting).status == "failed"
    assert stage.sound()


def end_whole(stage: Stage, ending: str, whole: str, shard: str, before: str) -> None:
    """End a parent in one of the possible ways: directly, by a shard, or by a dependency."""
    if ending in ("failed", "lost"):
        stage.start(shard)
    if ending == "failed":
        stage.end(shard, "failed")
        return
    stage.now += 60
    body: o.OrderBody = {
        "cancelled": o.CancelTask(whole),
        "deleted": o.DeleteTask(whole),
        "deadline": o.ExpireTasks((whole,), "deadline"),
        "lost": o.LoseWorker(NODE, "gone"),
        "dependency": o.UpdateTask(before, "failed"),
    }[ending]
    stage.give(body, SYSTEM if ending in ("deadline", "lost") else ADMIN)


@pytest.mark.parametrize("ending", ["cancelled", "deleted", "failed", "deadline", "lost", "dependency"])
def test_whatever_ends_a_whole_fails_what_waits_for_its_shards(ending: str) -> None:
    """Directly or not, whether they are tasks or wholes with shards of their own:
    nothing waits for what is over."""
    stage = Stage(Policy(losses_max=0))
    (before,) = stage.submit(spec())
    fields = {"depends_on": [before]} if ending == "dependency" else {"deadline": stage.now + 50}
    whole, (first, second) = sharded(stage, **fields)
    (waiting,) = stage.submit(spec(depends_on=[second]))
    other, *parts = stage.submit(spec(run=COMMAND, shards={"count": 2}, depends_on=[second]))
    (last,) = stage.submit(spec(depends_on=[parts[0], waiting]))
    end_whole(stage, ending, whole, first, before)
    ended = {i: stage.state.tasks[i].status for i in (waiting, other, *parts, last)}
    assert ended == {waiting: "failed", other: "failed", **dict.fromkeys(parts, "cancelled"), last: "failed"}
    assert (stage.task(waiting).error or {})["dependency"] == second
    assert stage.state.dependents == {}
    assert stage.sound()


def test_a_shard_that_is_done_releases_what_waits_for_it_before_its_sibling_fails() -> None:
    """Also in one order: the whole fails, the shard stays completed and its dependent goes on."""
    stage = Stage()
    whole, (first, second) = sharded(stage)
    (waiting,) = stage.submit(spec(depends_on=[first]))
    stage.start(first, second)
    bad = AttemptReport(second, 1, "failed", error={"reason": "failed", "message": "boom"})
    late = AttemptReport(first, 1, "progressed", progress=50.0)
    assert stage.report(AttemptReport(first, 1, "completed"), bad, late)["stale"] == [2]
    stands = [stage.task(i).status for i in (whole, first, second, waiting)]
    assert stands == ["failed", "completed", "failed", "pending"]
    assert stage.sound()


def test_retries_are_the_shards_own() -> None:
    """A shard with a retry left does not fail the whole."""
    stage = Stage()
    whole, (first, _) = sharded(stage, max_retries=1)
    stage.start(first)
    stage.end(first, "failed")
    assert (stage.task(first).status, stage.task(whole).status) == ("pending", "running")


def test_a_gang_starts_whole_or_not_at_all() -> None:
    """One pair that is no longer valid stops the rest of the gang, and no other task."""
    stage = Stage()
    _, (first, second) = sharded(stage, gang=True)
    (single,) = stage.submit(spec(run=COMMAND))
    pairs = ((first, NODE), (second, "worker-gone"), (single, NODE))
    data = stage.give(o.StartAttempts(pairs), SYSTEM)
    assert data["stale"] == 2
    assert [stage.task(i).status for i in (first, second, single)] == ["pending", "pending", "running"]


def test_the_whole_itself_is_never_started_on_a_node() -> None:
    """Its shards are."""
    stage = Stage()
    whole, _ = sharded(stage)
    assert stage.give(o.StartAttempts(((whole, NODE),)), SYSTEM)["stale"] == 1


@pytest.mark.parametrize(
    "body",
    [
        lambda i: o.CancelTask(i),
        lambda i: o.DeleteTask(i),
        lambda i: o.RetryTask(i),
        lambda i: o.UpdateTask(i, status="cancelled"),
        lambda i: o.UpdateTask(i, edits={"title": "x"}),
    ],
)
def test_a_shard_is_changed_through_its_whole(body: Any) -> None:
    """The refusal names it; for strangers there is neither."""
    stage = Stage()
    whole, (first, _) = sharded(stage)
    refusal = stage.refuse(body(first))
    assert (refusal.code, refusal.details["id"]) == (ErrorCode.CONFLICT, whole)
    assert stage.refuse(body(first), OTHER).code is ErrorCode.NOT_FOUND


def test_cancel_retry_and_delete_take_the_shards_with_them() -> None:
    """What is completed stays so: a retry runs the others only."""
    stage = Stage()
    whole, shards = sharded(stage, 3)
    stage.start(*shards[:2])
    stage.end(shards[0], result={"value": 0})
    stage.give(o.CancelTask(whole))
    assert [stage.task(i).status for i in shards] == ["completed", "cancelled", "cancelled"]
    stage.give(o.RetryTask(whole))
    assert [stage.task(i).status for i in (whole, *shards)] == ["pending", "completed", "pending", "pending"]
    stage.start(*shards[1:])
    assert (stage.task(whole).status, stage.task(whole).attempt) == ("running", 2)
    for shard in shards[1:]:
        stage.end(shard, result={"value": shard})
    assert stage.task(whole).result["shards"][0] == {"value": 0}
    assert stage.sound()
    stage.give(o.DeleteTask(whole))
    assert not stage.state.tasks


def test_completed_shards_may_leave_memory_before_the_whole_ends() -> None:
    """Their results are kept with it; a retry that would need them is refused."""
    stage = Stage()
    whole, (first, second) = sharded(stage)
    stage.start(first, second)
    stage.end(first, result={"value": 1})
    stage.give(o.ArchiveTasks(stage.state.seq, stage.now), SYSTEM)
    assert first not in stage.state.tasks
    stage.end(second, "failed")
    assert stage.task(whole).status == "failed"
    stage.give(o.RetryTask(whole))
    stage.start(second)
    stage.end(second, result={"value": 2})
    assert stage.task(whole).result["shards"] == [{"value": 1}, {"value": 2}]
    again, (one, other) = sharded(stage)
    stage.start(one, other)
    stage.end(one, "failed")
    stage.give(o.ArchiveTasks(stage.task(one).finished_seq, stage.now), SYSTEM)
    assert stage.refuse(o.RetryTask(again)).code is ErrorCode.CONFLICT


def test_a_dependency_that_fails_ends_whole_and_shards() -> None:
    """They wait together, and end together."""
    stage = Stage()
    (before,) = stage.submit(spec())
    whole, shards = sharded(stage, depends_on=[before])
    assert {stage.task(i).status for i in (whole, *shards)} == {"waiting"}
    stage.give(o.CancelTask(before))
    assert [stage.task(i).status for i in (whole, *shards)] == ["failed", "cancelled", "cancelled"]
    assert stage.sound()


def test_its_deadline_ends_its_shards() -> None:
    """Whatever they do."""
    stage = Stage()
    whole, (first, second) = sharded(stage, deadline=stage.now + 5)
    stage.start(first)
    stage.now += 9
    stage.give(o.ExpireTasks((whole,), "deadline"), SYSTEM)
    assert [stage.task(i).status for i in (whole, first, second)] == ["failed", "cancelled", "cancelled"]


def test_only_its_words_can_be_edited() -> None:
    """The shards have the rest already."""
    stage = Stage()
    whole, _ = sharded(stage)
    stage.give(o.UpdateTask(whole, edits={"title": "other"}))
    assert stage.task(whole).spec["title"] == "other"
    refusal = stage.refuse(o.UpdateTask(whole, edits={"priority": "high"}))
    assert refusal.details["allowed_values"] == ["description", "title"]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"shards": {"count": 0}, "run": COMMAND}, "shards.count"),
        ({"shards": {"count": True}, "run": COMMAND}, "shards"),
        ({"shards": {"count": 2, "more": 1}, "run": COMMAND}, "shards"),
        ({"shards": {"count": 2}}, "shards"),
        ({"shards": {"count": 4}, "run": COMMAND}, "shards.count"),
        ({"shard": {"of": "task-x", "index": 0, "count": 1}, "run": COMMAND}, "shard"),
        ({"strategy": "guess"}, "strategy"),
        ({"preemptible": "no"}, "preemptible"),
    ],
)
def test_bad_shards_are_refused(fields: dict[str, Any], field: str) -> None:
    """None, too many, without anything to run, or made by hand."""
    stage = Stage(Policy(shards_max=3))
    data = stage.give(o.SubmitTasks((spec(**fields),)), ADMIN)
    assert data["rejected"]["0"][2]["field"] == field


def test_shards_count_for_a_full_queue() -> None:
    """All of them, and the whole."""
    stage = Stage(Policy(queue_tasks_max=3))
    assert stage.refuse(o.SubmitTasks((spec(run=COMMAND, shards={"count": 3}),))).details["queued"] == 0
    assert len(stage.submit(spec(run=COMMAND, shards={"count": 2}))) == 3
