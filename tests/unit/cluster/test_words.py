"""Words given to `submit` by name: options and arguments do not meet in silence; an interrupt names tasks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from helix_ray import cluster as hx
from helix_ray.cluster.api import Cluster

Connect = Callable[..., Cluster]
WAIT_S = 60.0


def square(n: int) -> int:
    return n * n


def add(a: int, *, b: int = 0) -> int:
    return a + b


def titled(n: int, title: str = "none") -> str:
    return f"{n} {title}"


def anything(**words: int) -> dict[str, int]:
    return words


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda c: c.submit(add, 3, b=10),
            r"b is an argument of .*add, not an option: use kwargs=\{'b': \.\.\.\}",
        ),
        (lambda c: c.map(add, [3], b=10), r"use kwargs=\{'b': \.\.\.\}"),
        (lambda c: c.submit(anything, x=1), r"use kwargs=\{'x': \.\.\.\}"),
        (lambda c: c.submit(titled, 1, title="T"), r"title is an option and an argument of .*titled"),
        (lambda c: c.submit(square, 3, num_cpus=2), "num_cpus is not an option: use cpu"),
        (lambda c: c.submit(square, 3, timout_s=2), "timout_s is not an option: use timeout_s"),
        (lambda c: c.command("true", num_gpus=1), "num_gpus is not an option: use gpu"),
        (lambda c: c.submit(square, kwargs={"n": 1, "cpu": 2}), "cpu is not an argument of .*square"),
        (lambda c: hx.function(square).submit(1, num_cpus=2), "for the option use cpu="),
        (lambda c: hx.function(num_cpus=2)(square).submit(1), "num_cpus is not an option: use cpu"),
    ],
)
def test_a_word_in_the_wrong_place_says_where_it_goes(
    cluster: Cluster, call: Callable[[Cluster], Any], message: str
) -> None:
    """An argument among the options, an option among the arguments, what other libraries call an option, and
    a word that could be both: nothing is sent, and the message has the words to write."""
    with pytest.raises(TypeError, match=message):
        call(cluster)
    assert cluster.tasks() == []


def test_a_word_that_is_both_can_be_said_either_way(cluster: Cluster) -> None:
    """What an argument has is the function's; the decorator's options are the task's."""
    assert cluster.submit(titled, 1, kwargs={"title": "a"}).result(WAIT_S) == "1 a"
    assert cluster.submit(titled, 1, "b", title="Task").result(WAIT_S) == "1 b"
    both = cluster.submit(titled, 1, kwargs={"title": "a"}, title="Task")
    assert (both.result(WAIT_S), both.view()["title"]) == ("1 a", "Task")
    handle = cluster.submit(hx.function(title="Task")(titled), 1)
    assert (handle.result(WAIT_S), handle.view()["title"]) == ("1 none", "Task")


def test_an_interrupt_names_the_task_which_is_found_again(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C ends the waiting only: the note says how to take the task up again, and the listing has it."""
    cluster = connect(hold=True)
    handle = cluster.submit(square, 1)

    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(type(handle.future()), "result", interrupted)
        with pytest.raises(KeyboardInterrupt) as caught:
            handle.result()
    (note,) = caught.value.__notes__
    assert note.startswith(f"{handle.id} continues on the cluster: cluster.handle('{handle.id}')")
    assert [task["id"] for task in cluster.tasks("pending")] == [handle.id]
    other = cluster.submit(square, 2)
    waits: list[Callable[[list[hx.Handle]], Any]] = [hx.wait, lambda handles: next(hx.as_completed(handles))]
    for waiting in waits:
        with monkeypatch.context() as patched:
            patched.setattr("helix_ray.cluster.handles.some_done", interrupted)
            patched.setattr("helix_ray.cluster.handles.as_done", interrupted)
            with pytest.raises(KeyboardInterrupt) as caught:
                waiting([handle, other])
        assert caught.value.__notes__[0].startswith(f"{handle.id}, {other.id} continue on the cluster: ")
    with pytest.raises(ValueError, match="status must be one of waiting, pending"):
        cluster.tasks("open")
