"""The history is behind the journal, and nobody can tell: what was deleted or queued again
is so in the next answer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from actors.archive import BEHIND, Archive
from helix_ray.core.access import SYSTEM
from helix_ray.core.errors import ErrorCode, Refused, Rejected
from helix_ray.core.evolve import standing
from helix_ray.core.orders import (
    ArchiveTasks,
    AttemptReport,
    CancelTask,
    DeleteTask,
    Order,
    OrderBody,
    Recalled,
    Receipt,
    RegisterWorker,
    ReportAttempts,
    RetryTask,
    SubmitTasks,
    UpdateTask,
)
from helix_ray.core.questions import GetResult, GetTask, ListTasks, NoticeTasks, Question, WaitTasks
from helix_ray.plane.control import Plane
from helix_ray.plane.names import HISTORIAN
from helix_ray.testing import MemoryControlPlane
from helix_ray.views.history import History
from helix_ray.views.pruning import HistoryLimits
from helix_ray.wire.ids import new_seed

TASK = {"title": "t", "type": "planning"}
SHARDED = {**TASK, "shards": {"count": 2}, "run": {"kind": "command", "argv": ["true"]}}


@dataclass
class Links:
    """The master and the historian of this process; the history follows when `follow` is called."""

    plane: MemoryControlPlane
    history: History
    board: str | None = None

    async def master(self) -> Links:
        return self

    def close(self) -> None:
        pass

    async def call(self, name: str, *arguments: Any) -> Any:
        if name == HISTORIAN:
            method, *rest = arguments
            return await getattr(Archive(self.history, self.plane), method)(*rest)
        return await getattr(self, name)(*arguments)

    async def execute_batch(self, orders: list[Order]) -> list[Receipt | Rejected]:
        return [self.plane.carry_out(order) for order in orders]

    async def query(self, question: Question, by: Any, wait_s: float) -> Any:
        return await self.plane.query(question, by, wait_s)

    async def query_batch(self, pairs: list[tuple[Question, Any]]) -> tuple[int, list[Any]]:
        return self.plane.engine.state.seq, [self.plane.ask(question, by) for question, by in pairs]

    def follow(self) -> None:
        """Have the history take in all there is."""
        while facts := self.plane.engine.facts(self.history.cursor, 1000).facts:
            self.history.ingest(facts)

    def archive(self) -> int:
        """Let everything that has ended leave memory, once the history has it."""
        self.follow()
        return int(self.plane.give(ArchiveTasks(self.history.cursor, 1e12)).data["archived"])

    def ask(self, question: Question) -> Any:
        return asyncio.run(Plane(self).query(question, SYSTEM))

    def do(self, body: OrderBody) -> Receipt | Rejected:
        return asyncio.run(Plane(self).execute(Order(body, SYSTEM, "req-t", new_seed())))

    def submit(self, spec: dict[str, Any]) -> str:
        receipt = self.do(SubmitTasks((spec,)))
        assert isinstance(receipt, Receipt)
        if receipt.data["rejected"]:
            raise Refused(receipt.data["rejected"]["0"])
        return f"task-{receipt.data['seed']}"

    def listed(self) -> list[tuple[str, str]]:
        page = self.ask(ListTasks())
        assert page["total"] == len(page["tasks"])
        return [(line["id"], line["status"]) for line in page["tasks"]]


@pytest.fixture
def links(tmp_path: Path) -> Iterator[Links]:
    history = History(tmp_path / "history.duckdb")
    yield Links(MemoryControlPlane(), history)
    history.close()


def ended(links: Links, status: str = "completed") -> str:
    """Return a task that has left memory."""
    task_id = links.submit(TASK)
    links.do(UpdateTask(task_id, status=status))
    assert links.archive() >= 1
    return task_id


def gone(links: Links, task_id: str) -> bool:
    """Say whether no question and no order finds a task."""
    found = [links.ask(GetTask(task_id)), links.ask(GetResult(task_id)), links.do(CancelTask(task_id))]
    waited = links.ask(WaitTasks((task_id,)))
    missing = [isinstance(each, Rejected) and each.code == "NOT_FOUND" for each in found]
    missing += [waited["unknown"] == [task_id], task_id not in dict(links.listed())]
    assert len(set(missing)) == 1, missing
    return missing[0]


def test_archived_tasks_can_be_waited_for_without_their_results(links: Links) -> None:
    """As those in memory; which of them are unknown is said all the same."""
    task_id = links.submit(TASK)
    links.do(UpdateTask(task_id, status="completed", result={"success": True, "value": "large"}))
    assert links.archive() >= 1
    whole, brief = (links.ask(WaitTasks((task_id, "task-x"), results=wanted)) for wanted in (True, False))
    assert whole["done"][0]["result"] == {"success": True, "value": "large"}
    assert brief == {**whole, "done": [{**whole["done"][0], "result": None}]}
    assert brief["unknown"] == ["task-x"]


def test_notices_say_the_same_of_tasks_in_memory_and_in_the_history(links: Links) -> None:
    """With labels and trace, in one question for all; what was deleted or never there is unknown."""
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    ids = [
        links.submit({**TASK, **more})
        for more in ({}, {"labels": {"zone": "a"}, "project_id": "p"}, {"traceparent": trace}, {})
    ]
    for task_id in ids:
        links.do(UpdateTask(task_id, status="completed"))
    live = links.ask(NoticeTasks((*ids, "task-x")))
    assert live["unknown"] == ["task-x"]
    assert live["tasks"][ids[1]]["labels"] == {"zone": "a"}
    assert live["tasks"][ids[2]]["traceparent"] == trace
    links.archive()
    assert not links.plane.engine.state.tasks
    open_id = links.submit(TASK)
    links.do(DeleteTask(ids[-1]))
    told = links.ask(NoticeTasks((*ids, open_id, "task-x")))
    assert told["tasks"] == {task_id: live["tasks"][task_id] for task_id in ids[:-1]} | {
        open_id: {**live["tasks"][ids[0]], "status": "pending"}
    }
    assert told["unknown"] == [ids[-1], "task-x"]


def test_a_deleted_task_of_the_history_is_gone_at_once(links: Links) -> None:
    """Before the history has followed, and after; and nothing can depend on it."""
    task_id = ended(links)
    assert not gone(links, task_id)
    assert isinstance(links.do(DeleteTask(task_id)), Receipt)
    assert gone(links, task_id)
    with pytest.raises(Refused):
        links.submit({**TASK, "depends_on": [task_id]})
    links.follow()
    assert gone(links, task_id)


def test_a_task_of_the_history_is_deleted_once(links: Links) -> None:
    """Two who delete it at once have both heard whose it was; one of them is told that it is gone."""
    task_id = ended(links)
    known = asyncio.run(Archive(links.history, links.plane).recall((task_id,), (), "record"))
    assert isinstance(known, Recalled)
    links.do(DeleteTask(task_id))
    second = links.plane.carry_out(Order(DeleteTask(task_id), SYSTEM, "req-t", new_seed(), recalled=known))
    assert isinstance(second, Rejected)
    assert second.code == "NOT_FOUND"


def test_a_dependency_that_is_deleted_on_the_way_is_refused(links: Links) -> None:
    """The plane has heard that it is completed; the master knows that it was deleted since."""
    task_id = ended(links)
    links.do(DeleteTask(task_id))
    stale = SubmitTasks(({**TASK, "depends_on": [task_id]},), {task_id: "completed"})
    assert links.plane.give(stale).data["rejected"]


def retired_past(links: Links, status: str, order: type[DeleteTask | RetryTask]) -> tuple[str, str]:
    """End two tasks, give an order about the first that the history does not follow
    yet, and archive the second."""
    first, second = links.submit(TASK), links.submit(TASK)
    for each in (first, second):
        links.do(UpdateTask(each, status=status))
    links.follow()
    through = links.history.cursor
    links.do(order(first))
    assert links.plane.give(ArchiveTasks(through, 1e12)).data["archived"] == 1
    return first, second


def test_a_task_that_is_deleted_in_memory_does_not_come_back_from_the_history(links: Links) -> None:
    """The history has its end, and others' retirement moves past it, before it follows the deletion."""
    first, second = retired_past(links, "completed", DeleteTask)
    assert gone(links, first)
    assert links.listed() == [(second, "completed")]


def test_a_task_that_is_queued_again_is_listed_once(links: Links) -> None:
    """The history still has its old end; memory has it pending."""
    first, second = retired_past(links, "failed", RetryTask)
    assert sorted(links.listed()) == sorted([(first, "pending"), (second, "failed")])
    assert links.ask(GetTask(first))["status"] == "pending"
    links.do(DeleteTask(first))
    assert gone(links, first)


def test_a_task_that_is_queued_again_twice_is_listed_once(links: Links) -> None:
    """The second time after memory's part of the listing was read, and before the history's."""
    first, second = links.submit(TASK), links.submit(TASK)
    for each in (first, second):
        links.do(UpdateTask(each, status="failed"))
    links.follow()
    through = links.history.cursor
    links.do(RetryTask(first))
    links.plane.give(ArchiveTasks(through, 1e12))
    live: Any = links.plane.ask(ListTasks())
    links.do(CancelTask(first))
    links.do(RetryTask(first))
    page: Any = asyncio.run(Archive(links.history, links.plane).list(ListTasks(), SYSTEM, live))
    assert sorted(line["id"] for line in page["tasks"]) == sorted((first, second))


@pytest.mark.parametrize(("completed", "archived"), [(False, 1), (False, 3), (True, 2), (True, 3)])
def test_shards_go_with_their_whole_wherever_they_are(links: Links, completed: bool, archived: int) -> None:
    """Cancelled, the whole leaves memory first; completed, its shards do; and each has all of them gone."""
    node = RegisterWorker(
        "n", ("testing",), {"cpu": 4.0}, worker_id="worker-n", kind="node", node_id="n", boot="boot"
    )
    if completed:
        links.plane.give(node)
    whole = links.submit(SHARDED)
    shards = [f"{whole}-s0", f"{whole}-s1"]
    if completed:
        reports = tuple(AttemptReport(each, 1, "completed", {"success": True}) for each in shards)
        links.plane.give(ReportAttempts("worker-n", "boot", reports))
    else:
        links.do(CancelTask(whole))
    links.follow()
    assert links.plane.give(ArchiveTasks(links.history.cursor, 1e12, archived)).data["archived"] == archived
    assert (whole in links.plane.engine.state.tasks) == (completed and archived == 2)
    assert all(links.ask(GetTask(each))["finished_at"] for each in (whole, *shards))
    links.do(DeleteTask(whole))
    for _ in range(2):
        assert all(gone(links, each) for each in (whole, *shards))
        links.follow()


def test_a_history_that_is_too_far_behind_does_not_answer(
    links: Links, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More deletions than are remembered: nobody knows until it has followed, and then everybody does."""
    monkeypatch.setattr(standing, "REWRITTEN_MAX", 2)
    ids = [ended(links) for _ in range(4)]
    for each in ids[:3]:
        links.do(DeleteTask(each))
    for each in (ids[0], ids[3]):
        assert links.ask(GetTask(each)) == BEHIND.rejected()
    links.follow()
    assert links.ask(GetTask(ids[3]))["status"] == "completed"
    assert gone(links, ids[0])


def test_it_is_remembered_over_a_restart(links: Links) -> None:
    """A snapshot has what was deleted: the history may be behind it."""
    from helix_ray.core import snapshot

    task_id = ended(links)
    links.do(DeleteTask(task_id))
    state = links.plane.engine.state
    links.plane.engine.state = snapshot.load(snapshot.dump(state))
    assert gone(links, task_id)


def test_a_task_older_than_the_history_is_as_one_that_never_was(links: Links) -> None:
    """Answers and orders about it are NOT_FOUND, nothing can depend on it, and no listing or total has it."""
    old, young = links.submit(TASK), links.submit(TASK)
    links.do(CancelTask(old))
    links.archive()
    links.do(CancelTask(young))
    limits, archived = HistoryLimits(0.0, 1 << 60), links.plane.engine.state.archived_through
    while links.history.prune(limits, 1e12, archived):
        pass
    links.archive()
    unknown = "task-00000000000000000000-0"
    for task_id in (old, unknown):
        for question in (GetTask(task_id), GetResult(task_id)):
            assert links.ask(question).code is ErrorCode.NOT_FOUND
        for order in (
            RetryTask(task_id),
            CancelTask(task_id),
            DeleteTask(task_id),
            UpdateTask(task_id, edits={"title": "x"}),
        ):
            answer = links.do(order)
            assert isinstance(answer, Rejected)
            assert answer.code is ErrorCode.NOT_FOUND
    told = [links.do(SubmitTasks(({**TASK, "depends_on": [task_id]},))) for task_id in (old, unknown)]
    assert all(isinstance(answer, Rejected) or answer.data["rejected"] for answer in told)
    listed = links.ask(ListTasks())
    assert ([line["id"] for line in listed["tasks"]], listed["total"]) == ([young], 1)
    assert links.ask(WaitTasks((old,)))["unknown"] == [old]


def test_an_archived_task_is_shown_without_the_ids_of_tasks_that_its_reader_may_not_see(links: Links) -> None:
    """In all three answers, to an API token of one project; whoever sees all reads them."""
    near, far = (links.submit({**TASK, "project_id": project}) for project in ("p-1", "p-2"))
    waiting = links.submit({**TASK, "project_id": "p-1", "depends_on": [near, far]})
    for task_id in (far, near):
        links.do(CancelTask(task_id))
    links.archive()
    bound = replace(SYSTEM, projects=("p-1",))
    for question in (GetTask(waiting), GetResult(waiting), WaitTasks((waiting,))):
        assert far in str(links.ask(question))
        said = asyncio.run(Plane(links).query(question, bound))
        assert not isinstance(said, Rejected)
        assert far not in str(said)
        assert "another task" in str(said)
    assert near in asyncio.run(Plane(links).query(GetTask(waiting), bound))["depends_on"]
