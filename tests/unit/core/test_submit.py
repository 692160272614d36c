"""Submitting: each spec is taken in or refused by itself, and a resent order makes nothing twice."""

from __future__ import annotations

from typing import Any

import pytest

from helix_ray.core import orders as o
from helix_ray.core.access import SYSTEM
from helix_ray.core.backpressure import RETRY_AFTER_S_UNKNOWN
from helix_ray.core.decide.submit import task_ids
from helix_ray.core.errors import ErrorCode
from helix_ray.core.orders import Receipt
from helix_ray.core.policy import Policy
from helix_ray.core.spec_shape import malformed
from tests.unit.core.stage import ADMIN, COMMAND, DEV, OTHER, VIEWER, Stage, spec


def test_one_task_is_taken_in(stage: Stage) -> None:
    """Its id follows from the seed, it waits for a worker, and the receipt says when it was made."""
    data = stage.give(o.SubmitTasks((spec(priority="high"),)), seed="abc")
    assert data == {"seed": "abc", "created_at": stage.now, "waiting": [], "rejected": {}}
    task = stage.task("task-abc")
    assert (task.status, task.owner, task.level, task.attempt) == ("pending", DEV.id, 2, 0)


def test_ids_follow_from_the_seed() -> None:
    """One task has the seed's id, more have a number."""
    assert task_ids("x", 1) == ["task-x"]
    assert task_ids("x", 2) == ["task-x-0", "task-x-1"]


def test_nothing_to_submit_is_refused(stage: Stage) -> None:
    """An empty batch is bad input, not a crash."""
    assert stage.refuse(o.SubmitTasks(())).code is ErrorCode.VALIDATION_ERROR


WRONG: list[tuple[str, Any]] = [
    ("title", None),
    ("title", 3),
    ("type", None),
    ("priority", "odd"),
    ("priority", []),
    ("resources", []),
    ("resources.cpu", {"cpu": -1}),
    ("resources.cpu", {"cpu": "two"}),
    ("resources.custom.x", {"custom": {"x": float("inf")}}),
    ("resources.custom", {"custom": 3}),
    ("required_capabilities", "gpu"),
    ("required_capabilities.0", [3]),
    ("labels", []),
    ("labels.zone", {"zone": []}),
    ("depends_on.0", [1]),
    ("max_retries", None),
    ("max_retries", -1),
    ("retry_backoff_s", -0.5),
    ("timeout_s", float("nan")),
    ("deadline", "tomorrow"),
    ("run", "ls"),
    ("run", {"kind": "magic"}),
    ("run", {}),
    ("run.model", {"kind": "inference"}),
    ("run", {"kind": "function", "function": 3}),
]


@pytest.mark.parametrize(("field", "value"), WRONG)
def test_a_spec_that_evolve_cannot_fold_never_becomes_a_fact(stage: Stage, field: str, value: Any) -> None:
    """The field is named, nothing is folded, and the good neighbour is taken in."""
    data = stage.give(o.SubmitTasks((spec(**{field.partition(".")[0]: value}), spec())))
    code, _, details = data["rejected"]["0"]
    assert (code, details["field"]) == ("VALIDATION_ERROR", field)
    assert len(stage.state.tasks) == 1


BEYOND: list[tuple[str, Any, str, dict[str, Any]]] = [
    ("title", "x" * 501, "must have at most 500 characters, not 501", {"chars_max": 500}),
    ("max_retries", 101, "must be at most 100, not 101", {"maximum": 100}),
    ("max_retries", -1, "must be at least 0, not -1", {"minimum": 0}),
    ("retry_backoff_s", 86_400.5, "must be at most 86,400, not 86400.5", {"maximum": 86_400.0}),
    ("timeout_s", 1e300, "must be at most 2,592,000, not 1e+300", {"maximum": 2_592_000.0}),
    ("resources.cpu", {"cpu": 4097}, "must be at most 4,096, not 4,097", {"maximum": 4096}),
    ("resources.gpu", {"gpu": 1025}, "must be at most 1,024, not 1,025", {"maximum": 1024}),
    (
        "resources.memory_mb", {"memory_mb": 2**63}, f"must be at most {2**40:,}, not {2**63:,}",
        {"maximum": 2**40},
    ),
    (
        "resources.custom", {"custom": {f"a{i}": 1 for i in range(33)}},
        "must have at most 32 items, not 33", {"items_max": 32},
    ),
    ("labels", {f"a{i}": "" for i in range(65)}, "must have at most 64 items, not 65", {"items_max": 64}),
    ("labels", {"a" * 65: ""}, "must have at most 64 characters, not 65", {"chars_max": 64}),
    ("labels.a", {"a": "b" * 257}, "must have at most 256 characters, not 257", {"chars_max": 256}),
    ("required_capabilities", ["a"] * 65, "must have at most 64 items, not 65", {"items_max": 64}),
    ("shards.count", {"count": 0}, "must be at least 1, not 0", {"minimum": 1}),
    (
        "run.timeout_s", {"kind": "function", "timeout_s": 2_592_001},
        "must be at most 2,592,000, not 2,592,001", {"maximum": 2_592_000.0},
    ),
    (
        "run.batch_size", {"kind": "inference", "model": "m", "batch_size": 65_537},
        "must be at most 65,536, not 65,537", {"maximum": 65_536},
    ),
    (
        "run.input_uri", {"kind": "inference", "model": "m", "input_uri": "file:///" + "a" * 5000},
        "must have at most 4,096 characters, not 5,008", {"chars_max": 4096},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("field", "value", "why", "details"), BEYOND)
def test_a_spec_beyond_a_limit_is_told_the_limit(
    stage: Stage, field: str, value: Any, why: str, details: dict[str, Any]
) -> None:
    """The Python API has no other check than this one."""
    data = stage.give(o.SubmitTasks((spec(**{field.partition(".")[0]: value}),)))
    assert data["rejected"]["0"][1:] == [f"Invalid task {field}: {why}", {"field": field, **details}]


def test_optional_fields_may_be_null(stage: Stage) -> None:
    """Null stands for not given where that has a meaning."""
    nulls = dict.fromkeys(
        ("resources", "required_capabilities", "labels", "depends_on", "timeout_s", "deadline", "run")
    )
    assert malformed(spec(**nulls)) is None
    assert (
        malformed(spec(resources={"gpu": None, "custom": None}, run={"kind": "inference", "model": "m"}))
        is None
    )
    stage.submit(spec(**nulls))


REFUSED: list[tuple[dict[str, Any], ErrorCode, str]] = [
    (spec(type="knitting"), ErrorCode.VALIDATION_ERROR, "type"),
    (spec(depends_on=["x"] * 1001), ErrorCode.VALIDATION_ERROR, "depends_on"),
    (spec(run={"kind": "function", "function": "os:system"}), ErrorCode.FORBIDDEN, "run.function"),
    (spec(run={"kind": "function"}), ErrorCode.FORBIDDEN, "run.function"),
    (spec(run={"kind": "function", "payload": "x"}), ErrorCode.FORBIDDEN, "run.payload"),
    (
        spec(run={"kind": "function", "function": "helix_ray.samples:add", "runtime_env": "{}"}),
        ErrorCode.FORBIDDEN,
        "run.runtime_env",
    ),
]


@pytest.mark.parametrize(("refused", "code", "field"), REFUSED)
def test_refusals_name_their_field(
    stage: Stage, refused: dict[str, Any], code: ErrorCode, field: str
) -> None:
    """Types, dependencies and runs are checked against the policy."""
    data = stage.give(o.SubmitTasks((refused,)))
    assert data["rejected"]["0"][0] == code.value
    assert data["rejected"]["0"][2]["field"] == field
    assert not stage.state.tasks


def test_commands_can_be_turned_off() -> None:
    """With an empty role list nobody but the cluster itself runs commands."""
    stage = Stage(Policy(command_roles=()))
    data = stage.give(o.SubmitTasks((spec(run=COMMAND),)), ADMIN)
    assert data["rejected"]["0"][2] == {"field": "run.kind", "allowed_roles": []}
    assert stage.submit(spec(run=COMMAND), by=SYSTEM)


def test_what_the_cluster_itself_may_run(stage: Stage) -> None:
    """Pickled functions and names off the allow-list come from inside only; allowed names from anybody."""
    inside = [{"kind": "function", "payload": "x"}, {"kind": "function", "function": "my:fn"}]
    assert len(stage.submit(*(spec(run=run) for run in inside), by=SYSTEM)) == 2
    assert stage.submit(spec(run={"kind": "function", "function": "helix_ray.samples:add"}))
    assert stage.submit(spec(run={"kind": "inference", "model": "digits"}))


def test_a_full_queue_refuses_the_whole_order() -> None:
    """The refusal says how full it is and when to come again; finished tasks do not count."""
    stage = Stage(Policy(queue_tasks_max=2))
    first, _ = stage.submit(spec(), spec())
    refusal = stage.refuse(o.SubmitTasks((spec(),)))
    assert refusal.code is ErrorCode.RATE_LIMIT_EXCEEDED
    assert refusal.details == {"queued": 2, "limit": 2, "retry_after_s": RETRY_AFTER_S_UNKNOWN}
    stage.give(o.CancelTask(first))
    assert stage.submit(spec())


# ---------------------------------------------------------------------------------------------- again


@pytest.mark.parametrize("bad", [(), (0,), (2,), (0, 2)])
def test_a_resent_order_makes_nothing_twice(stage: Stage, bad: tuple[int, ...]) -> None:
    """Whichever of its specs were refused the first time, the same seed is recognised."""
    specs = tuple(spec(type="knitting") if i in bad else spec(depends_on=[]) for i in range(3))
    first = stage.give(o.SubmitTasks(specs), seed="same")
    seq = stage.state.seq
    stage.now += 9
    again = stage.give(o.SubmitTasks(specs), seed="same")
    assert stage.state.seq == seq
    assert again["created_at"] == first["created_at"]
    assert set(again["rejected"]) == set(first["rejected"])


def test_a_key_gets_the_first_receipt_again(stage: Stage) -> None:
    """Same key, same request: no facts and equal data, although the seed is
    another; until the key expires."""
    first = stage.give(o.SubmitTasks((spec(),)), key="k", fingerprint="f")
    again = stage.decide(o.SubmitTasks((spec(),)), key="k", fingerprint="f")
    assert isinstance(again, Receipt)
    assert (again.data, again.replayed, again.seq) == (first, True, stage.state.seq)
    assert stage.refuse(o.SubmitTasks((spec(),)), key="k", fingerprint="g").code is ErrorCode.CONFLICT
    stage.now += stage.policy.client_receipt_ttl_s + 1
    assert len(stage.submit(spec())) == 1
    stage.give(o.SubmitTasks((spec(),)), key="k", fingerprint="g")
    assert len(stage.state.tasks) == 3


def test_a_key_of_the_gateway_lives_on_its_own_shelf(stage: Stage) -> None:
    """Keys that begin with `~` expire sooner and do not push clients' keys out."""
    stage.give(o.SubmitTasks((spec(),)), key="~k", fingerprint="f")
    assert list(stage.state.internal_receipts) == ["~k"]
    assert stage.state.internal_receipts["~k"].until == stage.now + stage.policy.internal_receipt_ttl_s
    assert not stage.state.client_receipts


def test_a_refusal_is_not_kept(stage: Stage) -> None:
    """A refused order leaves no receipt, so the same key may try again."""
    stage.refuse(o.CancelTask("task-x"), key="k", fingerprint="f")
    assert not stage.state.client_receipts


# ---------------------------------------------------------------------------------------------- dependencies


def test_references_in_a_batch_become_ids(stage: Stage) -> None:
    """`#0` waits for the batch's first task, once, however often and however it is written."""
    ids = stage.submit(spec(), spec(depends_on=["#0", "#00", "#0"]), spec(depends_on=["#1", "#0"]))
    assert stage.task(ids[1]).waits_for == {ids[0]}
    assert stage.task(ids[2]).spec["depends_on"] == [ids[1], ids[0]]
    assert stage.state.dependents == {ids[0]: {ids[1]: None, ids[2]: None}, ids[1]: {ids[2]: None}}


def test_the_receipt_says_which_wait(stage: Stage) -> None:
    """A task whose dependencies are completed already waits for nothing."""
    done = stage.run_to("completed")
    data = stage.give(o.SubmitTasks((spec(depends_on=[done]), spec(depends_on=["#0"]))))
    assert data["waiting"] == [1]


@pytest.mark.parametrize(
    "name", ["#2", "#-1", "#x", "#", "#²", "#٣", "#99999999999999999999", "task-unknown"]
)
def test_unknown_dependencies_are_refused(stage: Stage, name: str) -> None:
    """Numbers beyond the batch, what is no number, and unknown ids."""
    data = stage.give(o.SubmitTasks((spec(), spec(depends_on=[name]))))
    assert data["rejected"]["1"][2] == {"field": "depends_on", "unknown": [name]}
    assert list(data["rejected"]) == ["1"]


def test_other_peoples_tasks_are_unknown(stage: Stage) -> None:
    """A developer cannot find out by a dependency whether a task exists; an
    administrator may depend on any."""
    (task_id,) = stage.submit(spec(), by=OTHER)
    data = stage.give(o.SubmitTasks((spec(depends_on=[task_id]),)))
    assert data["rejected"]["0"][1] == f"Unknown dependency {task_id}"
    assert stage.submit(spec(depends_on=[task_id]), by=ADMIN)


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_what_will_not_be_completed_is_no_dependency(stage: Stage, status: str) -> None:
    """A dependency on a failed or cancelled task would wait for ever."""
    data = stage.give(o.SubmitTasks((spec(depends_on=[stage.run_to(status)]),)))
    assert data["rejected"]["0"][0] == "CONFLICT"
    assert data["rejected"]["0"][2]["status"] == status


CYCLES: list[tuple[list[list[str]], set[int]]] = [
    ([["#0"]], {0}),
    ([["#1"], ["#0"]], {0, 1}),
    ([["#1"], ["#2"], ["#0"], []], {0, 1, 2}),
    ([["#1"], ["#0"], ["#0"], ["#2"]], {0, 1, 2, 3}),
    ([[], ["#0"], ["#1"]], set()),
    ([["#1"], ["#9"], []], {0, 1}),
    ([["#1"], ["#2"], ["#9"]], {0, 1, 2}),
]


@pytest.mark.parametrize(("edges", "refused"), CYCLES)
def test_cycles_and_what_hangs_on_refused_specs(
    stage: Stage, edges: list[list[str]], refused: set[int]
) -> None:
    """Nothing is taken in that could never run."""
    data = stage.give(o.SubmitTasks(tuple(spec(depends_on=names) for names in edges)))
    assert {int(i) for i in data["rejected"]} == refused
    assert len(stage.state.tasks) == len(edges) - len(refused)


def test_a_dependency_on_a_spec_that_is_refused_for_another_reason(stage: Stage) -> None:
    """A task does not wait for one that was never taken in, however long the chain."""
    chain = [spec(type="knitting"), *(spec(depends_on=[f"#{i}"]) for i in range(3)), spec()]
    data = stage.give(o.SubmitTasks(tuple(chain)))
    assert set(data["rejected"]) == {"0", "1", "2", "3"}
    assert data["rejected"]["3"][1] == "Dependency #2 was rejected"


def test_a_long_refused_chain_takes_linear_time(stage: Stage) -> None:
    """As many tasks in a chain as one order may have, written backwards, behind one that is refused."""
    count = stage.policy.batch_linked_tasks_max
    chain = [spec(depends_on=[f"#{i + 1}"]) for i in range(count - 1)]
    data = stage.give(o.SubmitTasks((*chain, spec(type="knitting"))))
    assert len(data["rejected"]) == count


def test_a_task_for_which_many_wait_takes_no_more_of_them() -> None:
    """Its completion touches all of them in one fact; what waits already is not harmed."""
    stage = Stage(Policy(dependents_max=3))
    (root,) = stage.submit(spec())
    waiting = stage.submit(*[spec(depends_on=[root])] * 3)
    data = stage.give(o.SubmitTasks((spec(depends_on=[root]), spec(depends_on=[waiting[0]]))))
    assert list(data["rejected"]) == ["0"]
    code, _, details = data["rejected"]["0"]
    assert (code, details["id"], details["dependents_max"]) == ("CONFLICT", root, 3)
    stage.give(o.UpdateTask(root, status="running"))
    stage.give(o.UpdateTask(root, status="completed"))
    assert {stage.task(i).status for i in waiting} == {"pending"}


def test_viewers_submit_nothing(stage: Stage) -> None:
    """The role is asked first."""
    assert stage.refuse(o.SubmitTasks((spec(),)), VIEWER).code is ErrorCode.FORBIDDEN
