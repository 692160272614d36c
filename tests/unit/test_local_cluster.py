"""Further Ray nodes of one machine: one that has ended is started again, however often
that takes; the head is not."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from actors import ray_seams
from launcher.up import cluster as cluster_module
from launcher.up.cluster import AGAIN_S_MAX, AGAIN_S_MIN, LocalCluster
from launcher.up.nodes import plan

HEAD, NODES = 0, 3


class Process:
    """A Ray node that ends when a test says so."""

    gcs_address = "127.0.0.1:1"

    def __init__(self) -> None:
        self.lives = True
        self.forgotten = False

    def remaining_processes_alive(self) -> bool:
        """As Ray says it: none that it knows of has ended, and it knows of none that it has killed."""
        return self.lives or self.forgotten


class Inline(Executor):
    """Starts what it is given at once, or when a test says so."""

    def __init__(self) -> None:
        self.held: list[tuple[Future[Any], Callable[[], Any]]] | None = None

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        if self.held is not None:
            self.held.append((future, partial(fn, *args, **kwargs)))
        else:
            self.settle(future, partial(fn, *args, **kwargs))
        return future

    def settle(self, future: Future[Any], work: Callable[[], Any]) -> None:
        try:
            future.set_result(work())
        except Exception as error:
            future.set_exception(error)


class Machine:
    """Starts nodes, or refuses to as often as a test says."""

    def __init__(self) -> None:
        self.now = 0.0
        self.started: list[Process] = []
        self.ended: list[Process] = []
        self.refusals = 0
        self.said: list[str] = []
        self.starter = Inline()
        self.cluster = LocalCluster(plan(NODES, [], []), Path("/nowhere"), lambda: self.now, self.starter)

    def start_node(self, params: dict[str, Any], *, head: bool) -> Process:
        if self.refusals:
            self.refusals -= 1
            raise RuntimeError("the raylet did not register")
        self.started.append(Process())
        return self.started[-1]

    def end_node(self, node: Process) -> None:
        node.forgotten = True
        self.ended.append(node)

    def tend(self, seconds: float = 0.0) -> bool:
        """Look once a second for so long."""
        for _ in range(int(seconds)):
            self.now += 1.0
            if not self.cluster.tend(self.said.append):
                return False
        return self.cluster.tend(self.said.append)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    one = Machine()
    monkeypatch.setattr(ray_seams, "start_node", one.start_node)
    monkeypatch.setattr(ray_seams, "end_node", one.end_node)
    monkeypatch.setattr(cluster_module, "connect", lambda address: None)
    one.cluster.start()
    one.cluster.wait_for_all()
    assert len(one.started) == NODES
    return one


def test_a_node_that_ended_is_started_again(machine: Machine) -> None:
    """At once, after what is left of it was ended; nothing is done while all live."""
    assert machine.tend(5)
    assert machine.said == []
    machine.started[1].lives = False
    assert machine.tend()
    assert machine.ended == [machine.started[1]]
    assert machine.said == ["Ray node 1 has exited and is being restarted"]
    assert machine.tend(5)
    assert len(machine.started) == NODES + 1


def test_one_that_does_not_start_is_tried_again(machine: Machine) -> None:
    """Twice in vain, with a sentence and a pause that doubles; the others stay, and it
    comes with the third try."""
    machine.refusals = 2
    machine.started[2].lives = False
    assert machine.tend(10 * AGAIN_S_MIN)
    assert [line for line in machine.said if "did not start" in line] == [
        "Ray node 2 did not start; retrying in 1 s: RuntimeError: the raylet did not register",
        "Ray node 2 did not start; retrying in 2 s: RuntimeError: the raylet did not register",
    ]
    assert len(machine.started) == NODES + 1


def test_tries_go_on_for_ever(machine: Machine) -> None:
    """A fault of an hour costs two tries a minute at most, and is over when it is over."""
    machine.refusals = 1_000_000
    machine.started[1].lives = False
    assert machine.tend(3600)
    assert len(machine.said) < 2 * 3600 / AGAIN_S_MAX + 20
    machine.refusals = 0
    assert machine.tend(AGAIN_S_MAX)
    assert len(machine.started) == NODES + 1


def test_while_one_starts_the_head_is_looked_at(machine: Machine) -> None:
    """Ray waits half a minute for a raylet that has died in its start."""
    machine.starter.held = []
    machine.started[1].lives = False
    assert machine.tend(5)
    assert len(machine.starter.held) == 1
    machine.started[HEAD].lives = False
    assert not machine.tend()


def test_the_head_takes_the_cluster_with_it(machine: Machine) -> None:
    """Nobody starts it again."""
    machine.started[HEAD].lives = False
    assert not machine.tend()
    assert machine.ended == []
    assert not machine.cluster.head_lives()
