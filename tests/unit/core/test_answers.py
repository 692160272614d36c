"""Questions: everybody sees what is theirs to see, and nothing else exists for them."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from helix_ray.core import orders as o
from helix_ray.core import questions as q
from helix_ray.core.access import SYSTEM, Principal, inside
from helix_ray.core.answers import answer, has_news
from helix_ray.core.errors import ErrorCode, Rejected
from helix_ray.core.liveness import Liveness, Pulse
from helix_ray.core.state import INBOX_ENTRIES_MAX
from tests.unit.core.stage import ADMIN, BOT, CAST, COMMAND, DEV, EXTERNAL, NODE, OTHER, VIEWER, Stage, spec


def ask(
    stage: Stage, question: q.Question, by: Principal = DEV, liveness: Liveness | None = None
) -> dict[str, Any]:
    """Ask a question that must be answered."""
    reply = answer(stage.picture(liveness), question, by)
    assert isinstance(reply, dict), reply
    if not isinstance(question, q.WorkFor):  # it goes to node workers only, by pickle
        orjson.dumps(reply)
    return reply


def refused(stage: Stage, question: q.Question, by: Principal = DEV) -> ErrorCode:
    """Ask a question that must be refused; return the code."""
    reply = answer(stage.picture(), question, by)
    assert isinstance(reply, Rejected)
    return reply.code


# ---------------------------------------------------------------------------------------------- tasks


@pytest.mark.parametrize("by", [DEV, ADMIN, VIEWER, SYSTEM])
def test_a_task_is_shown_to_those_who_may_see_it(stage: Stage, by: Principal) -> None:
    """Whole, with the fields of its spec as they were given."""
    (task_id,) = stage.submit(spec(run=COMMAND, labels={"zone": "a"}, description="more"))
    view = ask(stage, q.GetTask(task_id), by)
    assert (view["id"], view["status"], view["priority"], view["owner"]) == (
        task_id,
        "pending",
        "normal",
        DEV.id,
    )
    assert (view["run"], view["labels"], view["description"]) == (COMMAND, {"zone": "a"}, "more")
    assert (view["assigned_worker"], view["progress"], view["not_before"], view["waits_for"]) == (
        None,
        0.0,
        None,
        [],
    )
    assert "resources" not in view


def test_a_task_does_not_exist_for_others(stage: Stage) -> None:
    """For another developer, for a worker that does not run it, and under an unknown id for anybody."""
    stage.add_external()
    (task_id,) = stage.submit(spec())
    for by in (OTHER, BOT):
        assert refused(stage, q.GetTask(task_id), by) is ErrorCode.NOT_FOUND
    assert refused(stage, q.GetTask("task-x"), ADMIN) is ErrorCode.NOT_FOUND
    stage.give(o.Heartbeat(EXTERNAL), BOT)
    assert ask(stage, q.GetTask(task_id), BOT)["assigned_worker"] == EXTERNAL
    assert refused(stage, q.GetResult("task-x")) is ErrorCode.NOT_FOUND


def test_the_bulk_of_a_run_stays_out_of_views(stage: Stage) -> None:
    """Payloads and inputs may be megabytes."""
    run = {"kind": "inference", "model": "digits", "inputs": [[0.0] * 64]}
    (task_id,) = stage.submit(spec(run=run))
    assert ask(stage, q.GetTask(task_id))["run"] == {"kind": "inference", "model": "digits"}


def test_results_come_after_the_end(stage: Stage) -> None:
    """Before it, there is a conflict that says where the task stands."""
    task_id = stage.run_to("running")
    assert refused(stage, q.GetResult(task_id)) is ErrorCode.CONFLICT
    stage.end(task_id, result={"success": True, "output": "hi"})
    view = ask(stage, q.GetResult(task_id))
    assert view["result"] == {"success": True, "output": "hi"}
    assert (view["status"], view["attempt"], view["error"]) == ("completed", 1, None)


def ids(reply: dict[str, Any]) -> list[str]:
    """Return the ids of a listing."""
    return [line["id"] for line in reply["tasks"]]


def test_listings_are_newest_first_and_come_in_pages(stage: Stage) -> None:
    """`total` counts all that match, whether or not the count is at hand."""
    made = stage.submit(*(spec() for _ in range(5)))
    theirs = stage.submit(spec(), by=OTHER)
    page = ask(stage, q.ListTasks(limit=2, offset=1))
    assert (ids(page), page["total"], page["limit"], page["offset"]) == ([made[3], made[2]], 5, 2, 1)
    everything = ask(stage, q.ListTasks(limit=2), ADMIN)
    assert (ids(everything), everything["total"]) == ([theirs[0], made[4]], 6)
    assert ask(stage, q.ListTasks(limit=0), ADMIN)["total"] == 6
    assert ids(ask(stage, q.ListTasks(offset=10), VIEWER)) == []


def test_filters(stage: Stage) -> None:
    """Each filter separately, for a viewer and for the owner."""
    (first,) = stage.submit(spec(priority="high", project_id="p1"))
    stage.now += 10
    (second,) = stage.submit(spec(type="testing"))
    running = stage.run_to("running")
    cases: list[tuple[dict[str, Any], list[str]]] = [
        ({"status": "pending"}, [second, first]),
        ({"status": "nonsense"}, []),
        ({"priority": "normal"}, [running, second]),
        ({"type": "testing"}, [second]),
        ({"project_id": "p1"}, [first]),
        ({"assigned_worker": NODE}, [running]),
        ({"id_prefix": second}, [second]),
        ({"id_prefix": "task-none"}, []),
        ({"since": stage.now}, [running, second]),
        ({"until": stage.now}, [first]),
    ]
    for by in (DEV, ADMIN):
        for fields, wanted in cases:
            reply = ask(stage, q.ListTasks(**fields), by)
            assert (ids(reply), reply["total"]) == (wanted, len(wanted)), fields


def test_a_listing_says_where_the_history_begins(stage: Stage) -> None:
    """How many tasks have left memory, and up to which fact."""
    task_id = stage.run_to("completed")
    through = stage.task(task_id).finished_seq
    stage.give(o.ArchiveTasks(through, stage.now), SYSTEM)
    reply = ask(stage, q.ListTasks())
    assert (reply["archived"], reply["archived_through"]) == (1, through)
    assert ask(stage, q.Counts())["archived"] == {"completed": 1}


def test_waiting_for_tasks(stage: Stage) -> None:
    """What is done comes with its result; unknown ones are news too, open ones are not."""
    done, open_id = stage.run_to("completed"), stage.run_to("running")
    question = q.WaitTasks((done, open_id, "task-x"))
    reply = ask(stage, question)
    assert ([view["id"] for view in reply["done"]], reply["unknown"], reply["open"]) == (
        [done],
        ["task-x"],
        1,
    )
    assert has_news(question, reply)
    assert not has_news(question, ask(stage, q.WaitTasks((open_id,))))


def test_waiting_for_tasks_without_their_results(stage: Stage) -> None:
    """Who only needs to know that they have ended is not sent what they returned."""
    done, result = stage.run_to("running"), {"success": True, "value": "large"}
    stage.end(done, result=result)
    (whole,) = ask(stage, q.WaitTasks((done,)))["done"]
    (brief,) = ask(stage, q.WaitTasks((done,), results=False))["done"]
    assert whole["result"] == result
    assert brief == {**whole, "result": None}


# --------------------------------------------------------------------------------------------- work for nodes


def work(stage: Stage, after: int, boot: str = "boot-1") -> dict[str, Any]:
    """Ask for a node's work after a seq."""
    return ask(stage, q.WorkFor(NODE, boot, 3, after), SYSTEM)


def test_a_node_hears_of_everything_first_and_of_changes_then(stage: Stage) -> None:
    """Assignments that have ended meanwhile are left out; revocations are always sent."""
    first = stage.run_to("running", timeout_s=9.0)
    reply = work(stage, 0)
    assert reply["full"]
    assert [(w["task_id"], w["attempt"], w["run"], w["timeout_s"]) for w in reply["assign"]] == [
        (first, 1, COMMAND, 9.0)
    ]
    second, third = stage.run_to("running"), stage.run_to("running")
    stage.give(o.CancelTask(second))
    news = work(stage, reply["seq"])
    assert (news["full"], [w["task_id"] for w in news["assign"]], news["revoke"]) == (
        False,
        [third],
        [(second, 1)],
    )
    question = q.WorkFor(NODE, "boot-1", 3, news["seq"])
    assert not has_news(question, ask(stage, question, SYSTEM))
    assert has_news(question, news)


def test_a_node_is_not_told_of_an_attempt_that_it_has_completed(stage: Stage) -> None:
    """But it is of one that failed, as a shard may because of another, or whose end is not its own report."""
    mine, theirs, failed = (stage.run_to("running") for _ in range(3))
    after = work(stage, 0)["seq"]
    stage.give(o.ReportAttempts(NODE, "boot-1", (o.AttemptReport(mine, 1, "completed"),)), inside(NODE))
    assert not has_news(q.WorkFor(NODE, "boot-1", 3, after), work(stage, after))
    stage.end(theirs)
    failure = o.AttemptReport(failed, 1, "failed", retryable=False)
    stage.give(o.ReportAttempts(NODE, "boot-1", (failure,)), inside(NODE))
    assert work(stage, after)["revoke"] == [(failed, 1), (theirs, 1)]


def test_a_node_that_fell_far_behind_hears_everything(stage: Stage) -> None:
    """When its inbox has dropped entries that it has not seen."""
    task_id = stage.run_to("running")
    inbox = stage.state.workers[NODE].inbox
    entry = inbox[0]
    inbox.extend([(entry[0] + 1, task_id, 1, True)] * INBOX_ENTRIES_MAX)
    assert work(stage, entry[0])["full"]
    assert not work(stage, entry[0] + 1)["full"]


def test_work_is_for_registered_processes(stage: Stage) -> None:
    """An unknown worker or an old process must register; users may not ask."""
    stage.add_node()
    assert refused(stage, q.WorkFor(NODE, "boot-0", 3, 0), SYSTEM) is ErrorCode.NOT_FOUND
    assert refused(stage, q.WorkFor("worker-x", "", 3, 0), SYSTEM) is ErrorCode.NOT_FOUND
    assert refused(stage, q.WorkFor(NODE, "boot-1", 3, 0), ADMIN) is ErrorCode.FORBIDDEN
    assert has_news(q.Counts(), Rejected(ErrorCode.NOT_FOUND, "no"))
    assert has_news(q.Counts(), {})


# ---------------------------------------------------------------------------------------------- workers


def test_workers_show_how_they_are(stage: Stage) -> None:
    """idle, busy, draining, lost; the last heartbeat is the pulse's wall time, or the registration's."""
    stage.add_node()
    liveness = Liveness()

    def shown() -> dict[str, Any]:
        return ask(stage, q.GetWorker(NODE), VIEWER, liveness)

    assert (shown()["status"], shown()["last_heartbeat"], shown()["usage"]) == ("idle", stage.now, {})
    liveness.heard(NODE, Pulse(1.0, stage.now + 3, usage={"cpu_usage": 5.0}))
    task_id = stage.run_to("running")
    assert (shown()["status"], shown()["running"], shown()["running_total"]) == ("busy", [task_id], 1)
    others = [ask(stage, kind(NODE), OTHER, liveness) for kind in (q.GetWorker, q.GetNode)]
    assert [(view["running"], view["running_total"]) for view in others] == [([], 1)] * 2, "not OTHER's task"
    assert (shown()["last_heartbeat"], shown()["usage"]) == (stage.now + 3, {"cpu_usage": 5.0})
    stage.give(o.DrainWorker(NODE), ADMIN)
    assert shown()["status"] == "draining"
    stage.give(o.LoseWorker(NODE, "gone"), SYSTEM)
    assert shown()["status"] == "lost"
    assert [w["id"] for w in ask(stage, q.ListWorkers())["workers"]] == [NODE]
    assert refused(stage, q.GetWorker("worker-x")) is ErrorCode.NOT_FOUND


# ---------------------------------------------------------------------------------------------- accounts


def test_users_see_themselves(stage: Stage) -> None:
    """An administrator sees all of them; the password hash is for the system only."""
    user_id = stage.give(o.CreateUser("ann", "argon", ("developer",)), ADMIN)["id"]
    ann = Principal(user_id, "ann", ("developer",))
    assert ask(stage, q.GetUser(user_id=user_id), ann)["username"] == "ann"
    assert "password_hash" not in ask(stage, q.GetUser(username="ann"), ADMIN)
    assert ask(stage, q.GetUser(username="ann"), SYSTEM)["password_hash"] == "argon"
    for question in (q.GetUser(username="ann"), q.GetUser(username="bob"), q.GetUser()):
        assert refused(stage, question) is ErrorCode.NOT_FOUND
    assert len(ask(stage, q.ListUsers(), ADMIN)["users"]) == 1 + len(CAST)
    assert refused(stage, q.ListUsers(), ann) is ErrorCode.FORBIDDEN


def test_sessions_by_id_and_by_token(stage: Stage) -> None:
    """Without their token hashes."""
    user_id = stage.give(o.CreateUser("ann", "argon", ("developer",)), ADMIN)["id"]
    stage.give(o.OpenSession(user_id, "sess-1", "hash-1", 9.0), SYSTEM)
    view = {"id": "sess-1", "user_id": user_id, "expires_at": 9.0}
    assert ask(stage, q.GetSession(session_id="sess-1"), SYSTEM) == view
    assert ask(stage, q.GetSession(refresh_hash="hash-1"), SYSTEM) == view
    assert refused(stage, q.GetSession(), SYSTEM) is ErrorCode.NOT_FOUND
    assert refused(stage, q.GetSession(session_id="sess-1"), ADMIN) is ErrorCode.FORBIDDEN


def test_counts(stage: Stage) -> None:
    """How many tasks stand where, and how far the journal is."""
    stage.run_to("running")
    reply = ask(stage, q.Counts(), VIEWER)
    assert (reply["tasks"]["running"], reply["tasks"]["pending"]) == (1, 0)
    assert (reply["seq"], reply["workers"], reply["sessions"]) == (stage.state.seq, 1, 0)


def test_what_the_state_cannot_answer_is_said_so(stage: Stage) -> None:
    """Logs and keys are with others; asking here is a mistake of ours, not the caller's."""
    assert refused(stage, q.Readiness(), SYSTEM) is ErrorCode.INTERNAL_ERROR
    assert refused(stage, q.ReadLog("task-x"), SYSTEM) is ErrorCode.INTERNAL_ERROR
