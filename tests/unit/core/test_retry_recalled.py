"""Tasks that have left memory are retried, changed and deleted as those in it are: the order
brings what the history knows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import orjson
import pytest

from helix_ray.core import orders as o
from helix_ray.core import snapshot
from helix_ray.core.access import Principal
from helix_ray.core.answers import answer
from helix_ray.core.errors import ErrorCode, NotInMemory, Rejected
from helix_ray.core.events import TaskRestored
from helix_ray.core.evolve import evolve
from helix_ray.core.policy import Policy
from helix_ray.core.questions import ListTasks
from helix_ray.core.state import State
from helix_ray.core.views.tasks import task_view
from tests.cast import slot
from tests.unit.core.past import Past
from tests.unit.core.stage import ADMIN, BOT, CAST, COMMAND, DEV, OTHER, VIEWER, Stage, spec


@pytest.fixture
def past(stage: Stage) -> Past:
    stage.add_node()
    return Past(stage)


def chain(stage: Stage, length: int = 3, by: Principal = DEV) -> list[str]:
    """Return tasks that depend on each other in a row and have failed with the first."""
    ids: list[str] = []
    for _ in range(length):
        ids += stage.submit(spec(run=COMMAND, **({"depends_on": [ids[-1]]} if ids else {})), by=by)
    stage.start(ids[0])
    stage.end(ids[0], "failed", retryable=False)
    assert {stage.task(i).status for i in ids} == {"failed"}
    return ids


def statuses(stage: Stage, ids: Iterable[str]) -> list[str]:
    return [stage.task(i).status.value for i in ids]


@pytest.mark.parametrize("archived", [0, 1, 2, 3])
def test_the_whole_chain_is_retried_in_one_call_wherever_it_is(past: Past, archived: int) -> None:
    """The first is pending, the others wait for it; then all of them run, and each is there once."""
    stage = past.stage
    ids = chain(stage)
    before = {i: stage.task(i) for i in ids}
    if archived:
        past.archive(archived)
    data = past.give(o.RetryTask(ids[0], dependants=True))
    assert (data["queued"], data["not_queued"]) == (ids, [])
    assert statuses(stage, ids) == ["pending", "waiting", "waiting"]
    assert not stage.state.archived
    for i in ids:
        task = stage.task(i)
        assert (task.seq, task.created_at, task.attempt) == (
            before[i].seq,
            before[i].created_at,
            before[i].attempt,
        )
    for i in ids:
        stage.start(i)
        stage.end(i)
    assert statuses(stage, ids) == ["completed"] * 3
    assert stage.sound()


def test_alone_it_is_queued_as_it_would_be_from_memory(past: Past) -> None:
    """Field by field, and the others stay where they are."""
    stage = past.stage
    first, second, _ = chain(stage)
    kept, seq = snapshot.load(orjson.loads(orjson.dumps(snapshot.dump(stage.state)))), stage.state.seq
    stage.give(o.RetryTask(first))
    expected = task_view(stage.task(first))
    stage.state = kept
    del stage.facts[seq:]
    past.archive()
    past.give(o.RetryTask(first))
    assert task_view(stage.task(first)) == expected
    assert second not in stage.state.tasks
    assert stage.state.archived == {"failed": 2}


def test_what_depends_on_a_retired_failure_is_refused_by_name(past: Past) -> None:
    """Though only the history knows how that one ended."""
    stage = past.stage
    first, second, _ = chain(stage)
    past.archive(1)
    refused = past.decide(o.RetryTask(second))
    assert isinstance(refused, Rejected)
    assert refused.details == {"id": first, "status": "failed"}


def test_a_sharded_task_comes_back_with_its_parts(past: Past) -> None:
    """Shards that were completed keep their results; the others run again."""
    stage = past.stage
    whole = stage.submit(spec(run=COMMAND, shards={"count": 3}))[0]
    shards = [f"{whole}-s{i}" for i in range(3)]
    stage.start(*shards)
    stage.end(shards[1], result={"value": 1})
    stage.end(shards[0], "failed", retryable=False)
    parts = stage.task(whole).shard_results
    past.archive()
    assert not stage.state.tasks
    past.records[whole] = replace(past.records[whole], shard_results=parts)
    past.give(o.RetryTask(whole))
    assert statuses(stage, (whole, shards[0], shards[2])) == ["pending"] * 3
    for i in (0, 2):
        stage.start(shards[i])
        stage.end(shards[i], result={"value": i})
    assert stage.task(whole).result == {"success": True, "shards": [{"value": i} for i in range(3)]}


def test_the_receipt_says_what_was_not_queued_and_why(past: Past) -> None:
    """What others own, what waits for another failure, and what is over the limit; what
    cannot be seen is not named."""
    stage = past.stage
    stage.policy = Policy(retry_tasks_max=3)
    (first,) = stage.submit(spec(run=COMMAND))
    (other,) = stage.submit(spec(run=COMMAND))
    (mine,) = stage.submit(spec(depends_on=[first]))
    (both,) = stage.submit(spec(depends_on=[first, other]))
    (after_both,) = stage.submit(spec(depends_on=[both]))
    (foreign,) = stage.submit(spec(depends_on=[first]), by=ADMIN)
    more = [stage.submit(spec(depends_on=[mine]))[0] for _ in range(3)]
    for each in (first, other):
        stage.start(each)
        stage.end(each, "failed", retryable=False)
    past.archive()
    data = past.give(o.RetryTask(first, dependants=True))
    assert data["queued"] == [first, mine]
    reasons = {each["id"]: (each["code"], each["details"]) for each in data["not_queued"]}
    assert reasons[both] == ("CONFLICT", {"id": other, "status": "failed"})
    assert {
        details.get("retry_tasks_max")
        for _, details in (reasons[i] for i in (after_both, *more) if i in reasons)
    } == {3}
    assert foreign not in reasons
    refused = past.decide(o.RetryTask(other, dependants=True), VIEWER)
    assert isinstance(refused, Rejected)
    assert refused.code is ErrorCode.FORBIDDEN


def test_what_was_deleted_or_changed_meanwhile_does_not_come_back(past: Past) -> None:
    """The state knows better than what was recalled: deleted is gone, queued is in memory,
    more is asked for again."""
    stage = past.stage
    ids = [stage.run_to("failed") for _ in range(3)]
    past.archive()
    known = past.recall(ids)
    past.give(o.DeleteTask(ids[0]))
    assert past.stage.refuse(o.RetryTask(ids[0]), recalled=known).code is ErrorCode.NOT_FOUND
    past.give(o.RetryTask(ids[1]))
    assert stage.refuse(o.RetryTask(ids[1]), recalled=known).details == {"status": "pending"}
    stage.start(ids[1])
    stage.end(ids[1])
    past.archive()
    # It is completed now, and has left memory again.
    again = stage.decide(o.RetryTask(ids[1]), recalled=known)
    assert isinstance(again, NotInMemory)
    assert again.task_ids == tuple(ids)
    refused = past.decide(o.RetryTask(ids[1]), recalled=known)
    assert isinstance(refused, Rejected)
    assert refused.details == {"status": "completed"}


def test_what_it_ran_is_gone(past: Past) -> None:
    """A record without what the task ran is refused, and says what to do."""
    task_id = past.stage.run_to("failed")
    past.archive()
    for why, words in (("gone", "not kept"), ("too_large", "so much")):
        refused = past.stage.refuse(
            o.RetryTask(task_id), recalled=past.recall([task_id], lost={task_id: why})
        )
        assert words in refused.message


@pytest.mark.parametrize(
    "change", [{"spec": {"title": 1, "type": "t"}}, {"spec": {"title": "t", "type": "t", "run": 7}}]
)
def test_a_record_that_no_history_has_is_refused(past: Past, change: dict[str, Any]) -> None:
    """A forged order cannot bring in what a submit could not."""
    task_id = past.stage.run_to("failed")
    past.archive()
    past.records[task_id] = replace(past.records[task_id], **change)
    refused = past.decide(o.RetryTask(task_id))
    assert isinstance(refused, Rejected)
    assert "cannot be taken in" in refused.message


def test_whose_it_is_counts_as_in_memory(past: Past) -> None:
    """Strangers do not see it, viewers may not change it, and its worker may not queue it again."""
    stage = past.stage
    task_id = stage.run_to("failed")
    past.archive()
    for by, code in ((OTHER, ErrorCode.NOT_FOUND), (VIEWER, ErrorCode.FORBIDDEN), (BOT, ErrorCode.FORBIDDEN)):
        for body in (o.RetryTask(task_id), o.CancelTask(task_id), o.DeleteTask(task_id)):
            refused = past.decide(body, by)
            assert isinstance(refused, Rejected)
            assert refused.code is code
    assert past.give(o.DeleteTask(task_id)) == {"id": task_id}
    assert stage.refuse(o.DeleteTask(task_id)).code is ErrorCode.NOT_FOUND


def test_listings_have_it_where_it_was_submitted(past: Past) -> None:
    """Also from a snapshot, which keeps the tasks in that order."""
    stage = past.stage
    first = stage.run_to("failed")
    second = stage.run_to("pending")
    past.archive()
    past.give(o.RetryTask(first))
    third = stage.run_to("pending")
    for state in (stage.state, snapshot.load(orjson.loads(orjson.dumps(snapshot.dump(stage.state))))):
        stage.state = state
        page = answer(stage.picture(), ListTasks(), ADMIN)
        assert isinstance(page, dict)
        assert [line["id"] for line in page["tasks"]] == [third, second, first]
        assert snapshot.dump(state) == snapshot.dump(stage.state)


def test_the_facts_alone_give_the_same_state(past: Past) -> None:
    """What is restored is in the journal whole."""
    ids = chain(past.stage)
    past.archive(2)
    past.give(o.RetryTask(ids[0], dependants=True))
    assert sum(isinstance(fact.event, TaskRestored) for fact in past.stage.facts) == 2
    state = State()
    slot(state, *CAST)
    for fact in past.stage.facts:
        evolve(state, fact)
    assert snapshot.dump(state) == snapshot.dump(past.stage.state)


def test_what_left_memory_while_others_were_recalled_is_recalled_too(past: Past) -> None:
    """An order found its task in memory and lacked another one: when it comes again, both have left."""
    first, second = chain(past.stage, 2)
    past.archive()
    lacking = past.stage.decide(o.RetryTask(second), recalled=past.recall((first,), ("task-x",)))
    assert isinstance(lacking, NotInMemory)
    assert (lacking.task_ids, lacking.causes) == ((first, second), ("task-x",))
    never = past.stage.refuse(o.DeleteTask("task-never"), recalled=past.recall(("task-never",)))
    assert not isinstance(never, NotInMemory)
    assert never.code is ErrorCode.NOT_FOUND
