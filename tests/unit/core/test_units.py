"""Devices are indivisible from each other: free shares of several do not make a whole device."""

from __future__ import annotations

from typing import Any

import pytest

from helix_ray.core import questions as q
from helix_ray.core.errors import ErrorCode
from helix_ray.core.orders import SubmitTasks
from helix_ray.core.placement import Node
from helix_ray.core.placement.room import Room
from helix_ray.core.placement.units import Units, impossible, left_of
from helix_ray.core.state import class_of
from tests.unit.core.scheduled_stage import ScheduledStage
from tests.unit.core.stage import COMMAND, NODE, spec

FOUR = {"cpu": 16.0, "gpu": 4.0}


def wants(gpu: float, **fields: Any) -> dict[str, Any]:
    """Return the spec of a task that needs so much GPU and no CPU."""
    return spec(run=COMMAND, resources={"cpu": 0, "gpu": gpu}, **fields)


def test_shares_go_to_the_fullest_device_that_takes_them() -> None:
    """As Ray gave them out: 0.2, 0.5 and 0.3 on one device, then 0.5 on the next."""
    assert left_of(4.0, [(0.2, 1), (0.5, 1), (0.3, 1)]) == Units(3)
    assert left_of(4.0, [(0.2, 1), (0.5, 2), (0.3, 1)]) == Units(2, (0.5,))
    assert left_of(4.0, [(0.6, 3)]) == Units(1, (0.4, 0.4, 0.4))
    assert left_of(2.0, [(2.0, 1)]) == Units(0)


@pytest.mark.parametrize("share", [0.1, 0.25, 0.3, 0.4, 0.5, 0.6, 0.75, 0.9])
@pytest.mark.parametrize("count", [1, 2, 3, 5, 8])
def test_shares_of_one_size_are_packed_as_any_others(share: float, count: int) -> None:
    """Counted at once, and one by one."""
    at_once, one_by_one = (
        left_of(9.0, [(share, count), (1.0, 1)]),
        left_of(9.0, [(share, 1)] * count + [(1.0, 1)]),
    )
    assert at_once == one_by_one


def test_what_others_use_is_a_sum_of_devices_and_a_share() -> None:
    """Ray reports no more than that."""
    assert left_of(4.0, [(2.25, 1)]) == Units(1, (0.75,))


def test_tasks_that_end_on_trial_leave_no_more_than_there_is() -> None:
    """Four short tasks in one slot used one share."""
    room = Room({"gpu": 1.0})
    room.take((("gpu", 0.5),))
    room.take((("gpu", 0.5),), -4)
    assert room.fits((("gpu", 1.0),))
    assert left_of(1.0, [(0.5, -3), (1.0, -1)]) == Units(1)


def test_lanes_and_the_most_there_is() -> None:
    """Whole devices first; a share may go into a gap."""
    left = Units(1, (0.4, 0.4))
    assert [left.slots(amount) for amount in (2.0, 1.0, 0.5, 0.4, 0.1)] == [0, 1, 2, 4, 18]
    assert (left.largest(), Units(0, (0.2, 0.4)).largest(), Units(0).largest()) == (1.0, 0.4, 0.0)
    assert Units(-1, (0.4,)).slots(1.0) == 0


@pytest.mark.parametrize(
    ("name", "amount", "why"),
    [
        ("gpu", 1.5, "whole"), ("npu", 2.5, "whole"), ("TPU", 1.1, "whole"), ("cpu", 0.00005, "at least"),
        ("gpu", 2.0, None), ("gpu", 0.3333333, None), ("cpu", 1.5, None), ("licence", 2.5, None),
        ("cpu", 0.0, None),
    ],
)  # fmt: skip
def test_amounts_that_ray_refuses(name: str, amount: float, why: str | None) -> None:
    """One device may be shared; several are allocated in whole numbers."""
    said = impossible(name, amount)
    assert said is None if why is None else why in (said or "")


def test_what_no_node_can_give_out_is_refused_before_there_is_a_node() -> None:
    """It would wait for ever on any."""
    stage = ScheduledStage()
    receipt = stage.give(SubmitTasks((wants(1.5), wants(0.5))))
    code, message, details = receipt["rejected"]["0"]
    assert (code, details) == (ErrorCode.VALIDATION_ERROR.value, {"field": "resources.gpu", "asked": 1.5})
    assert "whole" in message
    assert [*receipt["rejected"]] == ["0"]


def test_a_whole_device_is_not_made_of_shares() -> None:
    """2.2 GPUs are free, and one more task fits; the other waits, and its explanation says what is left."""
    stage = ScheduledStage()
    stage.add_node(resources=FOUR)
    ids = stage.submit(wants(0.6), wants(0.6), wants(0.6), wants(1), wants(1))
    stage.schedule()
    assert [stage.task(i).status for i in ids] == ["running"] * 4 + ["pending"]
    view = stage.ask(q.ExplainTask(ids[4]))
    assert view["nodes"][0]["failing"] == [
        {"dimension": "resources.gpu", "asked": 1.0, "has": 0.4, "deficit": 0.6, "kind": "waiting"}
    ]
    assert view["change"] == [{"change": "reduce", "resource": "gpu", "to": 0.4, "by": 0.6}]
    (small,) = stage.submit(wants(0.4))
    stage.schedule()
    assert stage.task(small).status == "running"


def test_who_is_stopped_or_awaited_makes_a_whole_device_free() -> None:
    """Two tasks that share one device make room together, one on each of two devices do not."""
    stage = ScheduledStage()
    stage.add_node(resources={"cpu": 16.0, "gpu": 2.0})
    shared = stage.submit(*(wants(amount, priority="low") for amount in (0.7, 0.3, 0.6)))
    for task_id in shared:
        stage.start(task_id)
        stage.now += 10
    urgent = class_of(wants(1))
    room = Room.of(Node(NODE, {"gpu": 2.0}, load={stage.task(i).task_class: 1 for i in shared}))
    assert not room.fits(urgent.demand)
    (task_id,) = stage.submit(wants(1, priority="critical"))
    stage.schedule()
    assert stage.task(task_id).status == "running"
    assert [stage.task(i).status for i in shared] == ["running", "running", "pending"]
