"""The Python API over a control plane in memory: values, exceptions, waiting, batches, limits."""

from __future__ import annotations

import asyncio
import pickle
import sys
from collections.abc import Callable, Iterator
from itertools import count, islice
from typing import Any

import numpy as np
import pytest

from helix_ray import cluster as hx
from helix_ray.cluster import payload as payload_module
from helix_ray.cluster.api import Cluster
from helix_ray.cluster.mapping import IN_FLIGHT_TASKS_MAX
from helix_ray.cluster.options import spec_of
from helix_ray.cluster.waiting import POLLS_MAX
from helix_ray.core.errors import ErrorCode, Refused
from helix_ray.core.questions import WaitTasks
from tests.unit.cluster.memory_links import NODE, links_of

Connect = Callable[..., Cluster]
WAIT_S = 60.0


class OutOfInk(Exception):
    """An exception of the user's own, with a constructor that takes two arguments."""

    def __init__(self, colour: str, left: int) -> None:
        super().__init__(colour, left)
        self.colour = colour
        self.left = left


class Stubborn(Exception):
    """An exception that cannot be pickled."""

    def __init__(self) -> None:
        super().__init__("no")
        self.frame = sys._getframe()


def square(n: int) -> int:
    return n * n


def print_page(colour: str) -> None:
    raise OutOfInk(colour, 0)


def add(a: int, *, b: int = 0) -> int:
    return a + b


def test_a_function_runs_and_gives_its_value(cluster: Cluster) -> None:
    """The value is the object that the function returned, of whatever type."""
    assert cluster.submit(square, 7).result(WAIT_S) == 49
    array = cluster.submit(np.arange, 4).result(WAIT_S)
    assert isinstance(array, np.ndarray)
    assert cluster.submit(lambda: {1, 2}).result(WAIT_S) == {1, 2}


def test_keywords_and_options_do_not_meet(cluster: Cluster) -> None:
    """Keyword arguments of the function go in `kwargs`; everything else by name is an option of the task."""
    handle = cluster.submit(add, 1, kwargs={"b": 2}, title="Sum", priority="high", cpu=0.5, labels={"a": "b"})
    assert handle.result(WAIT_S) == 3
    view = handle.view()
    assert (view["title"], view["priority"], view["labels"]) == ("Sum", "high", {"a": "b"})
    assert view["resources"] == {"cpu": 0.5}


def test_an_exception_comes_back_as_it_was_raised(cluster: Cluster) -> None:
    """`except OutOfInk` works, its fields are there, and a note says where it was raised."""
    handle = cluster.submit(print_page, "blue")
    with pytest.raises(OutOfInk) as caught:
        handle.result(WAIT_S)
    assert (caught.value.colour, caught.value.left) == ("blue", 0)
    (note,) = caught.value.__notes__
    assert handle.id in note
    assert "print_page" in note
    assert isinstance(handle.exception(WAIT_S), OutOfInk)


def test_an_exception_that_cannot_travel_is_described(cluster: Cluster) -> None:
    """What cannot be pickled comes back as TaskFailedError with type, message and traceback."""

    def stubborn() -> None:
        raise Stubborn

    with pytest.raises(hx.TaskFailedError) as caught:
        cluster.submit(stubborn).result(WAIT_S)
    error = pickle.loads(pickle.dumps(caught.value))
    assert error.type.endswith("Stubborn")
    assert error.message == "no"
    assert "raise Stubborn" in error.traceback


def test_an_exit_does_not_end_the_asker(cluster: Cluster) -> None:
    """SystemExit in a task is a failure of the task, not the end of the program that asks for its result."""
    with pytest.raises(hx.TaskFailedError, match="SystemExit"):
        cluster.submit(sys.exit, 3).result(WAIT_S)


def test_a_decorated_function_is_still_a_function(cluster: Cluster) -> None:
    """It can be called here, submitted, mapped, and its options changed for one use."""

    @hx.function(cpu=2, max_retries=3)
    def twice(n: int) -> int:
        """Double it."""
        return 2 * n

    assert twice(4) == 8
    assert twice.__doc__ == "Double it."
    assert twice.submit(5).result(WAIT_S) == 10
    assert list(twice.map(range(3))) == [0, 2, 4]
    handle = twice.options(cpu=1, title="Twice").submit(1)
    view = handle.view()
    assert (view["resources"], view["max_retries"], view["title"]) == ({"cpu": 1.0}, 3, "Twice")
    assert cluster.submit(twice, 6, cpu=3).view()["resources"] == {"cpu": 3.0}


def test_bare_decorator(cluster: Cluster) -> None:
    """`@function` needs no brackets."""
    assert hx.function(square).submit(3).result(WAIT_S) == 9


def test_without_a_connection_the_decorator_says_so() -> None:
    """`.submit` before `connect` is an error that names the way out."""
    with pytest.raises(hx.ClusterUnavailable, match="connect"):
        hx.function(square).submit(1)


def test_map_keeps_the_order_and_takes_several_iterables(cluster: Cluster) -> None:
    """Values come in the order of the items, whatever order the tasks end in."""
    assert list(cluster.map(square, range(1200))) == [n * n for n in range(1200)]
    assert list(cluster.map(pow, [2, 3], [3, 2])) == [8, 9]


def test_map_goes_out_in_batches(cluster: Cluster) -> None:
    """1,200 items are three orders, not 1,200."""
    list(cluster.map(square, range(1200)))
    assert sum(links_of(cluster).batches) == 3


def test_map_runs_a_bounded_number_ahead(connect: Connect) -> None:
    """An endless iterable is read only as far ahead as the bound says, and closing cancels what is open."""
    cluster = connect(hold=True)
    taken: list[int] = []

    def numbers() -> Iterator[int]:
        for n in count():
            taken.append(n)
            yield n

    values = cluster.map(square, numbers())
    assert len(taken) == IN_FLIGHT_TASKS_MAX
    values.close()
    statuses = {task.status for task in links_of(cluster).engine.state.tasks.values()}
    assert statuses == {"cancelled"}


def test_map_of_an_endless_iterable_can_be_read_in_part(cluster: Cluster) -> None:
    """The first values of an endless map are there without its end."""
    assert list(islice(cluster.map(square, count()), 5)) == [0, 1, 4, 9, 16]


def test_map_raises_at_the_item_that_failed(cluster: Cluster) -> None:
    """Values before it come first; then its exception; then the iteration is over."""
    values = cluster.map(lambda n: 10 // n, [5, 2, 0, 1])
    assert [next(values), next(values)] == [2, 5]
    with pytest.raises(ZeroDivisionError):
        next(values)
    assert list(values) == []


def test_map_times_out(connect: Connect) -> None:
    """The timeout is for the whole of it."""
    with pytest.raises(TimeoutError):
        list(connect(hold=True).map(square, [1], timeout=0.05))


def test_wait_and_as_completed(connect: Connect) -> None:
    """Both follow concurrent.futures: done and not done, and handles as they end."""
    cluster = connect(hold=True)
    handles = [cluster.submit(square, n) for n in range(4)]
    assert hx.wait(handles, timeout=0.05) == (set(), set(handles))
    cluster.background.loop.call_soon_threadsafe(links_of(cluster).run_pending)
    assert hx.wait(handles, WAIT_S) == (set(handles), set())
    assert sorted(handle.result() for handle in hx.as_completed(handles, WAIT_S)) == [0, 1, 4, 9]


def test_wait_returns_at_the_first_exception(connect: Connect) -> None:
    """FIRST_EXCEPTION does not wait for tasks that are still open."""
    cluster = connect()
    failed = cluster.submit(print_page, "red")
    links_of(cluster).hold = True
    never = cluster.submit(square, 2)
    assert hx.wait([failed, never], WAIT_S, "FIRST_EXCEPTION") == ({failed}, {never})


def test_many_handles_share_a_few_polls(connect: Connect) -> None:
    """300 open handles are watched by a handful of long polls."""
    cluster = connect(hold=True)
    link: Any = links_of(cluster)
    handles = [cluster.submit(square, n) for n in range(300)]
    hx.wait(handles, timeout=0.2)
    polls = [question for question in link.questions if isinstance(question, WaitTasks)]
    assert len(polls) <= 2 * POLLS_MAX
    cluster.background.loop.call_soon_threadsafe(link.run_pending)
    assert len(hx.wait(handles, WAIT_S).__getitem__(0)) == 300


def test_handles_can_be_awaited(cluster: Cluster) -> None:
    """In async code a handle is awaitable, and whoever stops waiting does not end it for others."""

    async def main() -> list[Any]:
        one = await cluster.submit_async(square, 3)
        waiter = asyncio.ensure_future(_value(one))
        waiter.cancel()
        failed = await cluster.submit_async(print_page, "blue")
        with pytest.raises(OutOfInk):
            await failed
        return list(await asyncio.gather(_value(one), _value(one)))

    assert asyncio.run(main()) == [9, 9]


async def _value(handle: hx.Handle) -> Any:
    return await handle


def test_cancel(connect: Connect) -> None:
    """A cancelled task raises TaskCancelledError; one that has ended is not cancelled."""
    cluster = connect(hold=True)
    handle = cluster.submit(square, 1)
    assert not handle.done()
    assert handle.cancel()
    assert (handle.status(), handle.done()) == ("cancelled", True)
    with pytest.raises(hx.TaskCancelledError, match=handle.id):
        handle.result(WAIT_S)
    ended = connect().submit(square, 1)
    ended.result(WAIT_S)
    assert not ended.cancel()


def test_a_result_does_not_wait_longer_than_asked(connect: Connect) -> None:
    """TimeoutError names the task, which goes on."""
    handle = connect(hold=True).submit(square, 1)
    with pytest.raises(TimeoutError, match=handle.id):
        handle.result(0.02)


def test_large_results_are_fetched_from_their_node(connect: Connect) -> None:
    """A result over the inline limit comes from the node; one whose node is gone raises ResultLostError."""
    cluster = connect(stored_over=1000)
    link: Any = links_of(cluster)
    assert cluster.submit(bytes, 5000).result(WAIT_S) == bytes(5000)
    lost = cluster.submit(bytes, 5000)
    link.kept.clear()
    with pytest.raises(hx.ResultLostError, match=lost.id):
        lost.result(WAIT_S)


def test_refusals_are_raised_where_it_was_submitted(connect: Connect) -> None:
    """A task that the control plane refuses raises Refused from submit; in a map, at its turn."""
    with pytest.raises(Refused, match="Invalid task type"):
        connect().submit(square, 1, type="poetry")
    with pytest.raises(Refused, match="Invalid task type"):
        list(connect().map(square, [1, 2], type="poetry"))
    with pytest.raises(Refused) as caught:
        connect(queue_tasks_max=0).submit(square, 1)
    assert caught.value.rejected.code is ErrorCode.RATE_LIMIT_EXCEEDED


def test_unknown_tasks_are_not_waited_for(cluster: Cluster) -> None:
    """A handle of a task that is not there raises Refused instead of waiting for ever."""
    with pytest.raises(Refused, match="NOT_FOUND"):
        cluster.handle("task-none").result(WAIT_S)


def test_a_task_can_be_taken_up_again_by_its_id(cluster: Cluster) -> None:
    """A handle made from an id gives the same value."""
    task_id = cluster.submit(square, 9).id
    assert cluster.handle(task_id).result(WAIT_S) == 81


def test_dependencies_are_handles_or_ids(connect: Connect) -> None:
    """A task starts after those it depends on."""
    cluster = connect(hold=True)
    first = cluster.submit(square, 1)
    second = cluster.submit(square, 2, depends_on=[first])
    third = cluster.submit(square, 2, depends_on=[second.id])
    assert [handle.status() for handle in (first, second, third)] == ["pending", "waiting", "waiting"]


def test_commands_and_inferences(cluster: Cluster) -> None:
    """Both make the run objects of the API; arrays travel as .npy."""
    assert cluster.command(["true"], env={"A": "1"}).result(WAIT_S)["exit_code"] == 0
    handle = cluster.inference("digits", {"x": np.zeros(3, np.float32), "y": [1]}, ["label"])
    task = links_of(cluster).engine.state.tasks[handle.id]
    assert task.run["outputs"] == ["label"]
    assert set(task.run["inputs"]["x"]) == {"npy_base64"}


def test_logs_are_read_to_their_end(cluster: Cluster) -> None:
    """`logs` puts the pieces together, `follow` gives them."""
    handle = cluster.submit(square, 1)
    assert handle.logs() == "one\ntwo\n"
    assert list(handle.follow()) == ["one\n", "two\n"]


def test_a_payload_has_a_limit(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Arguments over the limit are refused here, with both sizes in the message."""
    monkeypatch.setattr(payload_module, "PAYLOAD_BYTES_MAX", 1000)
    with pytest.raises(hx.PayloadTooLarge, match="the limit is 1000"):
        cluster.submit(len, bytes(2000))


def test_submits_of_many_threads_travel_together(connect: Connect) -> None:
    """While one call is under way, other threads' submits collect, and go out in one."""
    from concurrent.futures import ThreadPoolExecutor

    cluster = connect()
    link: Any = links_of(cluster)
    with ThreadPoolExecutor(16) as pool:
        handles = list(pool.map(lambda n: cluster.submit(square, n), range(400)))
    assert [handle.result(WAIT_S) for handle in handles] == [n * n for n in range(400)]
    assert sum(link.batches) == 400
    assert len(link.batches) < 400


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"colour": "red"}, TypeError),
        ({"priority": "urgent"}, ValueError),
        ({"cpu": -1}, ValueError),
        ({"cpu": float("nan")}, ValueError),
        ({"gpu": True}, ValueError),
        ({"timeout_s": 0}, ValueError),
        ({"max_retries": -1}, ValueError),
    ],
)
def test_options_are_checked_before_anything_is_sent(options: Any, error: type[Exception]) -> None:
    """An unknown option or a value out of range is refused where it was written."""
    with pytest.raises(error):
        spec_of({"kind": "function"}, "t", options)


def test_closing_fails_what_waits(connect: Connect) -> None:
    """After close nobody waits for ever; closing twice is fine."""
    cluster = connect(hold=True)
    handle = cluster.submit(square, 1)
    handle.future()
    cluster.close()
    cluster.close()
    with pytest.raises(hx.ClusterUnavailable):
        handle.result(WAIT_S)


def test_a_cancel_is_carried_out_once_though_its_answer_is_lost(connect: Connect) -> None:
    """The second time it has the first answer: a task that this call ended had not ended before."""
    cluster = connect(hold=True)
    handle = cluster.submit(square, 3)
    links_of(cluster).lose_answers = 1
    assert handle.cancel()
    assert not cluster.submit(square, 3).done()


def test_a_control_plane_that_does_not_answer_is_one_exception(connect: Connect) -> None:
    """Whatever is asked: ClusterUnavailable, with the reason that was given."""
    cluster = connect()
    handle = cluster.submit(square, 3)
    links_of(cluster).reason = "the disk is full"
    for call in (
        handle.status,
        handle.cancel,
        lambda: cluster.submit(square, 1),
        lambda: cluster.distribute(handle),
    ):
        with pytest.raises(hx.ClusterUnavailable, match="the disk is full"):
            call()


def test_distribute_answers_as_the_api_does(connect: Connect) -> None:
    """A task that waits for somebody is started now; a dry run starts nothing; what
    is not there is refused."""
    cluster = connect(hold=True)
    handle = cluster.submit(square, 3, strategy="manual")
    assert cluster.distribute(handle, dry_run=True)["assigned_nodes"] == [NODE]
    assert handle.status() == "pending"
    started = cluster.distribute(handle)
    assert (started["distributed"], started["assigned_nodes"], handle.status()) == (True, [NODE], "running")
    assert cluster.distribute(handle.id)["already_running"]
    with pytest.raises(Refused, match="not found"):
        cluster.distribute("task-none")
