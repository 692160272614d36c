"""Sharded tasks from Python: what each shard knows, and the result of the parent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import helix_ray as hx
from helix_ray.cluster.api import Cluster
from helix_ray.cluster.errors import ResultLostError, TaskFailedError
from helix_ray.cluster.options import spec_of
from tests.unit.cluster.memory_links import links_of

Connect = Callable[..., Cluster]
WAIT_S = 60.0


def part_of(numbers: range) -> list[int]:
    index, count = hx.shard()
    return list(numbers[index::count])


def trip(_: int) -> None:
    index, _count = hx.shard()
    if index == 1:
        raise LookupError("no second part")


def large(size: int) -> np.ndarray[Any, Any]:
    return np.full(size, hx.shard()[0])


def test_a_sharded_function_gives_the_values_of_its_shards_in_order(cluster: Cluster) -> None:
    """Every shard knows its index and count; the value of the whole is the list of theirs."""
    handle = cluster.submit(part_of, range(7), shards=3)
    assert handle.result(WAIT_S) == [[0, 3, 6], [1, 4], [2, 5]]
    assert handle.view()["shards"] == {"count": 3, "gang": False, "completed": 3}
    assert cluster.handle(f"{handle.id}-s1").result(WAIT_S) == [1, 4]
    assert hx.function(shards=2, gang=True)(part_of).submit(range(2)).result(WAIT_S) == [[0], [1]]


def test_one_shard_is_a_list_of_one(cluster: Cluster) -> None:
    """What a program gets does not depend on how many there happen to be."""
    assert cluster.submit(part_of, range(2), shards=1).result(WAIT_S) == [[0, 1]]


def test_a_shards_exception_is_the_wholes(cluster: Cluster) -> None:
    """It comes back as it was raised, with a note that names the shard."""
    handle = cluster.submit(trip, 0, shards=2)
    with pytest.raises(LookupError, match="no second part") as caught:
        handle.result(WAIT_S)
    assert f"raised in {handle.id}-s1" in caught.value.__notes__[0]


def test_large_parts_are_fetched_from_their_nodes(connect: Connect) -> None:
    """Parts that stayed in the object store are put in through their shards; one that is gone is named."""
    cluster = connect(stored_over=1000)
    handle = cluster.submit(large, 1000, shards=2)
    values = handle.result(WAIT_S)
    assert [value.sum() for value in values] == [0, 1000]
    link: Any = links_of(cluster)
    link.kept.pop((f"{handle.id}-s1", 1))
    with pytest.raises(ResultLostError, match=f"{handle.id}-s1"):
        cluster.handle(handle.id).result(WAIT_S)


def test_a_sharded_command_gives_a_dict_for_each(cluster: Cluster) -> None:
    """The same as its tasks alone would give."""
    (first, second) = cluster.command("true", shards=2).result(WAIT_S)
    assert first == second == {"success": True, "output": "", "exit_code": 0}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shards": 0}, "shards must be a whole number of at least 1, not 0"),
        ({"shards": True}, "shards must be a whole number of at least 1, not True"),
        ({"shards": 1.5}, "shards must be a whole number of at least 1, not 1.5"),
        ({"gang": True}, "gang can only be used with shards"),
        ({"strategy": "best"}, "strategy must be one of round_robin, load_balanced"),
    ],
)
def test_options_are_checked(options: Any, message: str) -> None:
    """Before anything is sent."""
    with pytest.raises(ValueError, match=message):
        spec_of({"kind": "command", "argv": ["true"]}, "t", options)


def test_options_of_placement_are_fields_of_the_spec() -> None:
    """`manual` tasks wait until somebody distributes them."""
    spec = spec_of(
        {"kind": "command", "argv": ["true"]},
        "t",
        {"strategy": "manual", "preemptible": False, "shards": 2, "gang": True},
    )
    assert (spec["strategy"], spec["preemptible"]) == ("manual", False)
    assert spec["shards"] == {"count": 2, "gang": True}


def test_an_error_that_cannot_come_back_names_the_shard(cluster: Cluster) -> None:
    """TaskFailedError has the cause as data, without pickled bytes."""
    from helix_ray.cluster.payload import exception_of

    cause = {"reason": "failed", "type": "X", "message": "m", "pickled": "AAAA"}
    error = {"reason": "shard_failed", "message": "shard 1 failed: m", "shard": "t-s1", "cause": cause}
    raised = exception_of({"id": "t", "error": error, "result": None})
    assert isinstance(raised, TaskFailedError)
    assert raised.error["cause"] == {"reason": "failed", "type": "X", "message": "m"}
