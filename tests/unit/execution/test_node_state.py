"""What a node does about its attempts: events in, effects out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from helix_ray.core.orders import AttemptReport
from helix_ray.execution.assignment import Assignment, Finished, Outcome, Progressed, Started
from helix_ray.execution.effects import (
    CancelAttempt,
    Effect,
    FetchBlobs,
    GiveAttempts,
    KillExecutor,
    ReleaseExecutor,
    Say,
    SayFinished,
    StartExecutor,
)
from helix_ray.execution.node_state import EXECUTOR_START_S_MAX, NodeState
from helix_ray.execution.runtime_env import RuntimeEnv, runtime_env_of
from helix_ray.execution.slots import STOP_GRACE_S, Item
from helix_ray.execution.tenant import Tenant

ONE = (("cpu", 1.0),)
IDLE_S = 30.0


def item(name: str, timeout_s: float | None = None) -> Item:
    """Return an attempt of a task by name; all are of one class."""
    work = Assignment(name, 1, {"kind": "function"}, timeout_s, "/logs")
    return Item(assignment=work, demand=ONE, group="g")


def finished(name: str, took_s: float = 0.0) -> Finished:
    """Return what an executor says of an attempt that has ended well."""
    return Finished(name, 1, Outcome(True), 0.0, took_s)


def said_of(effects: list[Effect]) -> list[tuple[str, str]]:
    """Return (task, outcome) of what the control plane is told."""
    said = [(effect.report.task_id, effect.report.outcome) for effect in effects if isinstance(effect, Say)]
    return said + [
        (effect.finished.task_id, "finished") for effect in effects if isinstance(effect, SayFinished)
    ]


@pytest.fixture
def node() -> NodeState:
    """A node of one CPU whose executor n-1 is ready."""
    state = NodeState({"cpu": 1.0}, "n", IDLE_S)
    assert state.open(ONE, 0.0) == [StartExecutor("n-1", ONE)]
    assert state.ready("n-1", 0.0) == []
    return state


def test_an_attempt_is_given_out_and_its_end_is_reported(node: NodeState) -> None:
    """What runs is held until it has finished; progress is passed on."""
    first = item("a")
    assert node.assign([first], (), 0.0) == [GiveAttempts("n-1", (first.assignment,))]
    assert node.said("n-1", [Started("a", 1)], 0.0) == []
    said = Say(AttemptReport("a", 1, "progressed", progress=50.0, note="half"))
    assert node.said("n-1", [Progressed("a", 1, 50.0, "half")], 0.0) == [said]
    assert node.attempts() == [("a", 1)]
    assert node.said("n-1", [finished("a")], 1.0) == [SayFinished(finished("a"), first.assignment)]
    assert node.attempts() == []
    assert node.said("n-1", [finished("a")], 1.0) == []


def test_a_report_of_many_ends_gives_out_work_once(node: NodeState) -> None:
    """Every end is reported, in order; what the executor gets next goes out in one batch behind them."""
    node.assign([item("first")], (), 0.0)
    node.said("n-1", [finished("first", 0.001)], 0.0)
    names = [f"t{number}" for number in range(30)]
    (first,) = node.assign(map(item, names), (), 1.0)
    assert isinstance(first, GiveAttempts)
    had = len(first.batch)
    *ends, then = node.said("n-1", [finished(name, 0.001) for name in names[: had - 2]], 1.1)
    assert said_of(ends) == [(name, "finished") for name in names[: had - 2]]
    assert isinstance(then, GiveAttempts)
    assert [work.task_id for work in then.batch] == names[had:]


def test_a_cancelled_attempt_is_asked_to_end_and_then_its_executor_is_killed(node: NodeState) -> None:
    """Nobody hears of it any more, whether it ends by itself or is killed; it is killed once."""
    node.assign([item("a")], (), 0.0)
    assert node.assign((), [("a", 1)], 1.0) == [CancelAttempt("n-1", ("a", 1))]
    assert node.tick((), 1.0 + STOP_GRACE_S / 2) == []
    assert node.said("n-1", [Progressed("a", 1, 50.0)], 2.0) == []
    assert node.tick((), 1.0 + STOP_GRACE_S) == [KillExecutor("n-1")]
    assert node.tick((), 2.0 + STOP_GRACE_S) == []
    assert node.gone("n-1", 8.0) == []
    assert node.attempts() == []


def test_a_cancelled_attempt_that_ends_is_not_reported(node: NodeState) -> None:
    """Its executor goes on with the next one."""
    node.assign([item("a")], (), 0.0)
    node.assign([item("b")], [("a", 1)], 1.0)
    (given,) = node.said("n-1", [finished("a")], 2.0)
    assert isinstance(given, GiveAttempts)
    assert node.tick((), 60.0) == []


def test_an_attempt_whose_time_is_over_has_timed_out_and_is_not_lost(node: NodeState) -> None:
    """The executor ends it at its timeout; one that cannot is killed from outside after the grace."""
    node.assign([item("a", timeout_s=2.0)], (), 0.0)
    node.said("n-1", [Started("a", 1)], 0.0)
    assert node.tick((), 2.0) == []
    assert node.tick((), 2.0 + STOP_GRACE_S) == [KillExecutor("n-1")]
    (said,) = node.gone("n-1", 8.0)
    assert isinstance(said, Say)
    assert said.report.outcome == "failed"
    assert said.report.error == {
        "reason": "timeout",
        "type": "TimedOut",
        "message": "timed out after 2.0 s",
    }


def test_a_killed_executor_gets_nothing_any_more(node: NodeState) -> None:
    """What finishes after all is reported; what comes meanwhile waits for the next executor."""
    node.assign([item("a", timeout_s=2.0)], (), 0.0)
    node.said("n-1", [Started("a", 1)], 0.0)
    node.tick((), 2.0 + STOP_GRACE_S)
    assert said_of(node.said("n-1", [finished("a")], 7.5)) == [("a", "finished")]
    assert node.assign([item("b")], (), 7.6) == []
    assert node.gone("n-1", 8.0) == [StartExecutor("n-2", ONE)]


@pytest.mark.parametrize(
    ("spent", "at_once"),
    [
        ("it has run 3 tasks; the limit is 3", False),
        ("it was interrupted at its time limit", False),
        ("it left threads running: x", True),
        ("it cannot be compared with what it was: TypeError: x", True),
    ],
)
def test_a_spent_executor_is_killed_only_where_something_may_still_run(
    node: NodeState, spent: str, at_once: bool
) -> None:
    """Ray ends the others, in its own time, and so does not take their ends for crashes."""
    node.assign([item("a")], (), 0.0)
    _, released = node.said("n-1", [replace(finished("a"), spent=spent, may_still_run=at_once)], 1.0)
    assert released == ReleaseExecutor("n-1", at_once)


def test_an_executor_that_dies_loses_what_it_ran(node: NodeState) -> None:
    """Those behind it go out again, those that were cancelled do not."""
    node.assign([item("first")], (), 0.0)
    node.said("n-1", [finished("first", 0.00001)], 0.0)
    node.assign([item(name) for name in "abc"], (), 1.0)
    node.said("n-1", [Started("a", 1)], 1.0)
    node.assign((), [("b", 1)], 1.0)
    lost, start = node.gone("n-1", 2.0)
    assert said_of([lost]) == [("a", "lost")]
    assert start == StartExecutor("n-2", ONE)
    assert node.attempts() == [("c", 1)]


def test_an_executor_that_never_comes_hands_its_tasks_back(node: NodeState) -> None:
    """Ray has given its resources to others."""
    node.gone("n-1", 0.0)
    assert node.assign([item("a")], (), 0.0) == [StartExecutor("n-2", ONE)]
    effects = node.tick((), EXECUTOR_START_S_MAX + 1)
    assert effects[0] == ReleaseExecutor("n-2")
    assert said_of(effects) == [("a", "returned")]
    assert node.ready("n-2", 99.0) == [ReleaseExecutor("n-2")]


def test_what_ray_rejects_is_a_bad_spec(node: NodeState) -> None:
    """No later try would end otherwise: the tasks fail for good."""
    node.gone("n-1", 0.0)
    node.assign([item("a")], (), 0.0)
    (said,) = node.start_refused("n-2", "Ray rejected these resources: no")
    assert isinstance(said, Say)
    assert (said.report.outcome, said.report.retryable) == ("failed", False)
    assert node.attempts() == []


BLUE = RuntimeEnv("blue", '{"env_vars": {"COLOUR": "blue", "TOKEN": "ba5eba11"}}')
RED = RuntimeEnv("red", '{"config": {"setup_timeout_seconds": 5}, "pip": {"packages": ["x"]}}')


def within(name: str, environment: RuntimeEnv | None) -> Item:
    """Return an attempt of one owner whose process has a runtime environment."""
    attempt = item(name)
    attempt.tenant = Tenant("job:1", environment=environment)
    return attempt


@pytest.fixture
def two() -> NodeState:
    """A node of two CPUs without executors."""
    return NodeState({"cpu": 2.0}, "n", IDLE_S)


def test_an_environment_has_executors_of_its_own(two: NodeState) -> None:
    """Two of one owner run side by side; each executor is used again, for its environment only."""
    first, second = within("a", BLUE), within("b", RED)
    assert two.assign([first, second], (), 0.0) == [
        StartExecutor("n-1", ONE, BLUE), StartExecutor("n-2", ONE, RED),
    ]  # fmt: skip
    assert two.ready("n-2", 1.0) == [GiveAttempts("n-2", (second.assignment,))]
    assert two.ready("n-1", 1.0) == [GiveAttempts("n-1", (first.assignment,))]
    two.said("n-1", [finished("a")], 2.0)
    again = within("c", BLUE)
    assert two.assign([again], (), 2.0) == [GiveAttempts("n-1", (again.assignment,))]
    two.said("n-1", [finished("c")], 3.0)
    # Neither a function without an environment nor a command gets the idle one; it makes room for them.
    work = Assignment("e", 1, {"kind": "command"}, None, "/logs")
    command = Item(assignment=work, demand=ONE, group="g")
    assert two.assign([within("d", None), command], (), 3.0) == []
    assert two.tick((), 3.0) == [ReleaseExecutor("n-1"), StartExecutor("n-3", ONE)]


def test_an_executor_that_waits_for_its_first_attempt_has_no_environment(node: NodeState) -> None:
    """So it makes room for one that has."""
    assert node.assign([within("a", BLUE)], (), 0.0) == []
    assert node.tick((), 0.0) == [ReleaseExecutor("n-1"), StartExecutor("n-2", ONE, BLUE)]


def test_a_broken_environment_fails_what_waits_for_it_and_nothing_else(two: NodeState) -> None:
    """All of it, at once and in Ray's words, without the values of its variables; the rest runs."""
    two.assign([within("a", BLUE), within("b", BLUE), within("c", None)], (), 0.0)
    said = two.environment_failed("n-1", "Traceback:\n line 1\nOSError: no such package for ba5eba11\n")
    assert said_of(said) == [("a", "failed"), ("b", "failed")]
    assert isinstance(said[0], Say)
    assert said[0].report.error == {
        "reason": "environment",
        "type": "RuntimeEnvSetupError",
        "message": "its runtime_env cannot be set up: OSError: no such package for ***",
        "traceback": "Traceback:\n line 1\nOSError: no such package for ***",
    }
    assert two.attempts() == [("c", 1)]
    assert two.environment_failed("n-1", "again") == []
    assert two.gone("n-1", 0.0) == [StartExecutor("n-3", ONE)]


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (
            "'pip', '--index-url', 'https://ann:hush@here/simple'",
            "'pip', '--index-url', 'https://***@here/simple'",
        ),
        ("git+https://t0ken@here/x.git and s3://a:b@c@here", "git+https://***@here/x.git and s3://***@here"),
        ("https://here/a@b and ann@here", "https://here/a@b and ann@here"),
    ],
)
def test_passwords_in_addresses_are_not_repeated(two: NodeState, said: str, shown: str) -> None:
    """Ray says which command has failed, with the address of the index that it was given."""
    two.assign([within("a", BLUE)], (), 0.0)
    (first, *_) = two.environment_failed("n-1", said)
    assert isinstance(first, Say)
    assert first.report.error is not None
    assert first.report.error["message"] == f"its runtime_env cannot be set up: {shown}"


def test_an_environment_may_take_its_time(two: NodeState) -> None:
    """As long as Ray gives it; then its tasks fail, for another try would take as long. One that installs
    nothing has no more time than other processes."""
    two.assign([within("a", RED)], (), 0.0)
    assert two.tick((), EXECUTOR_START_S_MAX + 5) == []
    effects = two.tick((), EXECUTOR_START_S_MAX + 6)
    assert effects[0] == ReleaseExecutor("n-1")
    assert said_of(effects) == [("a", "failed")]
    two.assign([within("b", BLUE)], (), 100.0)
    assert said_of(two.tick((), 101.0 + EXECUTOR_START_S_MAX)) == [("b", "failed")]


def test_resources_in_external_use_do_not_count_against_an_environment(two: NodeState) -> None:
    """Its tasks go back to the queue, as those of others do."""
    two.assign([within("a", RED)], (), 0.0)
    assert said_of(two.tick(ONE, EXECUTOR_START_S_MAX + 6)) == [("a", "returned")]


def test_an_environment_that_cannot_be_unsealed_says_so() -> None:
    """The key of the control plane is gone; it is no environment of any name."""
    sealed = runtime_env_of("helix-sealed:k1:AAAA")
    assert sealed is not None
    assert (sealed.setup_s_max, sealed.packages) == (0.0, [])
    with pytest.raises(ValueError, match=r"was sealed with a key .* copy env\.secret"):
        sealed.fields()
    assert runtime_env_of(None) is None


def test_a_node_that_is_cut_off_ends_everything(node: NodeState) -> None:
    """Every executor is killed."""
    node.assign([item("a")], (), 0.0)
    node.said("n-1", [Started("a", 1)], 0.0)
    assert node.cut_off() == [KillExecutor("n-1")]


def test_a_node_that_shuts_down_kills_only_what_runs(node: NodeState) -> None:
    """An idle executor is Ray's to end, which so reports no crash."""
    assert node.shut_down() == [ReleaseExecutor("n-1")]
    node.assign([item("a")], (), 0.0)
    assert node.shut_down() == [KillExecutor("n-1")]


def test_an_idle_executor_is_released(node: NodeState) -> None:
    """After the idle time its resources are others'."""
    assert node.tick((), IDLE_S / 2) == []
    assert node.tick((), IDLE_S + 1) == [ReleaseExecutor("n-1")]


def needing(name: str, *blobs: str) -> Item:
    """Return an attempt that needs files."""
    work = Assignment(name, 1, {"kind": "inference"}, None, "/logs", blobs=blobs, blobs_dir="/blobs")
    return Item(assignment=work, demand=ONE, group="g")


def test_an_attempt_waits_for_its_files_and_holds_up_nobody(node: NodeState) -> None:
    """It is held, and given out when they are here; what comes behind it runs meanwhile."""
    first, second = needing("a", "digest"), item("b")
    effects = node.assign([first, second], (), 0.0)
    assert effects == [FetchBlobs(("a", 1), ("digest",)), GiveAttempts("n-1", (second.assignment,))]
    assert node.attempts() == [("a", 1), ("b", 1)]
    assert node.assign([first], (), 0.0) == [], "it is known"
    node.said("n-1", [finished("b", 5.0)], 5.0)
    assert node.fetched(("a", 1), 6.0) == [GiveAttempts("n-1", (first.assignment,))]
    assert node.fetched(("a", 1), 6.0) == []


def test_an_attempt_whose_files_do_not_come_is_reported(node: NodeState) -> None:
    """Once, and as the report says."""
    node.assign([needing("a", "digest")], (), 0.0)
    report = AttemptReport("a", 1, "lost")
    assert node.fetch_failed(report) == [Say(report)]
    assert node.fetch_failed(report) == []
    assert node.attempts() == []


def test_an_attempt_that_is_cancelled_while_its_files_come_is_not_reported(node: NodeState) -> None:
    """Whatever becomes of the files."""
    node.assign([needing("a", "digest"), needing("b", "digest")], (), 0.0)
    assert node.assign((), [("a", 1), ("b", 1)], 0.0) == []
    assert node.attempts() == []
    assert node.fetched(("a", 1), 1.0) == []
    assert node.fetch_failed(AttemptReport("b", 1, "lost")) == []
