"""Thresholds: one fact for each crossing, whatever the values do, and none for what is not known."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helix_ray.core import orders as o
from helix_ray.core.access import SYSTEM
from helix_ray.core.answers.monitoring import figures_of
from helix_ray.core.audit.kinds import ACTS
from helix_ray.core.errors import ErrorCode
from helix_ray.core.events import WorkerCrossedThreshold
from helix_ray.core.host_sample import HostSample
from helix_ray.core.liveness import Heard, Liveness
from helix_ray.core.policy import Policy
from helix_ray.core.thresholds import (
    BELOW_SHARE,
    FigureStanding,
    Threshold,
    level_of,
    parse,
    standing_at,
    value_of,
)
from helix_ray.followers.base import News
from helix_ray.followers.thresholds import ThresholdKeeper
from tests.unit.core.stage import EXTERNAL, NODE, NODE_2, Stage

MEMORY = Threshold("memory", 80.0, 90.0, 3.0)
VALUES = st.one_of(st.none(), st.floats(0, 100), st.sampled_from([76.0, 80.0, 85.5, 90.0]))


def levels(values: Iterable[float | None]) -> list[str]:
    """Return the level after each value, one a second."""
    standing, found = FigureStanding(), []
    for second, value in enumerate(values):
        standing = standing.saw(value, MEMORY, float(second))
        found.append(standing.level)
    return found


def test_a_value_must_last_and_must_fall_by_a_margin() -> None:
    assert levels([85, 85, 85, 79, 85, 85, 85, 85]) == ["ok"] * 7 + ["warning"]
    assert levels([95] * 4 + [79] * 5)[3:] == ["critical"] * 4 + ["warning"] * 2
    assert levels([85] * 4 + [75] * 4)[3:] == ["warning"] * 4 + ["ok"]
    assert levels([85, 85, 85, None, 85, 85, 85, 85])[-2:] == ["ok", "warning"]


@given(st.lists(VALUES, max_size=60))
def test_a_level_follows_from_what_lasted(values: list[float | None]) -> None:
    """It rises only after `for_s` seconds at or above the limit, falls only after as many below the margin;
    in between, and while nothing is known, it stays. Critical is never without a warning."""
    standing = FigureStanding()
    for second, value in enumerate(values):
        before, standing = standing, standing.saw(value, MEMORY, float(second))
        recent = values[max(0, second - 3) : second + 1]
        assert standing.warning.over or not standing.critical.over
        for limit, old, new in (
            (80.0, before.warning.over, standing.warning.over),
            (90.0, before.critical.over, standing.critical.over),
        ):
            if new and not old:
                assert len(recent) == 4
                assert all(each is not None and each >= limit for each in recent)
            if old and not new:
                assert all(each is not None and each < limit * BELOW_SHARE for each in recent)


@given(st.lists(st.floats(76.1, 79.9), min_size=1, max_size=60), st.sampled_from(["ok", "warning"]))
def test_what_swings_below_a_limit_crosses_nothing(values: list[float], level: str) -> None:
    standing = standing_at(level_of(level))
    for second, value in enumerate(values):
        standing = standing.saw(value, MEMORY, float(second))
    assert standing.level == level


def test_a_setting_is_read_or_refused_with_a_sentence() -> None:
    assert parse(" memory:80:90:3 , cpu:99.5:99.5:0") == (MEMORY, Threshold("cpu", 99.5, 99.5, 0.0))
    assert parse("") == ()
    for wrong in ("memory", "load:1:2:3", "memory:90:80:3", "memory:0:1:1", "memory:1..2:3:4",
                  "cpu:1:2:3,cpu:1:2:3"):  # fmt: skip
        with pytest.raises(ValueError, match=r"(?:must|twice|read)"):
            parse(wrong)
    assert Policy().thresholds == ()


def test_values_are_shares_of_what_there_is() -> None:
    disks = [
        {"path": "/", "total_mb": 100, "used_mb": 10, "available_mb": 90},
        {"path": "/data", "total_mb": 100, "used_mb": 96, "available_mb": 4},
    ]
    sample: HostSample = {
        "cpu_percent": 12.5, "memory_used_mb": 1, "memory_total_mb": 4, "disks": disks, "temperature": 45.0,
        "swap_used_mb": 1, "swap_total_mb": 0,
    }  # type: ignore[typeddict-item]  # fmt: skip
    told = [value_of(figure, sample) for figure in ("cpu", "memory", "disk", "swap", "temperature")]
    assert told == [12.5, 25.0, 96.0, None, 45.0]
    assert value_of("disk", {}) is None
    assert value_of("memory", {}) is None


def test_a_disk_on_which_nothing_can_be_written_is_full() -> None:
    """What its file system reserves for root is neither used nor available: with 5 % of it, a share of all
    blocks would never be over 95."""
    reserved = {"path": "/", "total_mb": 1000, "used_mb": 950, "available_mb": 0}
    sample: HostSample = {"disks": [reserved]}  # type: ignore[list-item]
    assert value_of("disk", sample) == 100.0
    assert figures_of(sample)["disk"]["percentage"] == 100.0
    assert value_of("disk", {"disks": [reserved | {"used_mb": 0}]}) is None  # type: ignore[list-item]


class Watched(Stage):
    """A stage on which the follower watches what nodes say."""

    def __init__(self, *thresholds: Threshold) -> None:
        super().__init__(Policy(thresholds=thresholds))
        self.liveness = Liveness()
        self.keeper = ThresholdKeeper(self.policy)
        self.mono = 0.0
        self.add_node()

    def second(self, used: int | None, *nodes: str) -> list[WorkerCrossedThreshold]:
        """Let a second pass in which nodes say how much of 100 MiB they use; return the crossings."""
        self.mono += 1.0
        for node in nodes or (NODE,):
            if used is not None:
                sample: HostSample = {"memory_used_mb": used, "memory_total_mb": 100}
                self.liveness.note(Heard(node, usage={"host": sample}), self.mono, self.now)
        before = len(self.facts)
        news = News(self.state, self.liveness, self.now, self.mono)
        for order in self.keeper.react(news):
            self.give(order, SYSTEM)
        assert self.keeper.react(news) == []
        return [fact.event for fact in self.facts[before:] if isinstance(fact.event, WorkerCrossedThreshold)]


def test_each_crossing_is_one_fact() -> None:
    """With the value and the limit; a restart of the master raises none again."""
    stage = Watched(MEMORY)
    told = [crossed for used in [95] * 8 + [70] * 8 for crossed in stage.second(used)]
    assert [(each.level, each.value, each.limit) for each in told] == [
        ("critical", 95.0, 90.0),
        ("ok", 70.0, 80.0),
    ]
    assert told[0] == WorkerCrossedThreshold(NODE, "memory", "critical", 95.0, 90.0, 3.0)
    for used in [85] * 4:
        stage.second(used)
    assert stage.state.workers[NODE].over == {"memory": "warning"}
    stage.keeper = ThresholdKeeper(stage.policy)
    assert [crossed for used in [85] * 8 for crossed in stage.second(used)] == []
    assert [crossed.limit for used in [95] * 4 for crossed in stage.second(used)] == [90.0]
    assert [crossed.limit for used in [82] * 4 for crossed in stage.second(used)] == [90.0]


def test_an_old_sample_says_nothing_and_a_limit_that_is_gone_is_crossed_back() -> None:
    stage = Watched(MEMORY)
    stage.second(95)
    assert [crossed for _ in range(10) for crossed in stage.second(None)]
    assert [crossed for _ in range(30) for crossed in stage.second(None)] == []
    stage.keeper = ThresholdKeeper(Policy())
    [back] = stage.second(95)
    assert (back.level, back.limit, stage.state.workers[NODE].over) == ("ok", None, {})


def test_of_the_nodes_of_a_host_one_speaks() -> None:
    stage = Watched(MEMORY)
    stage.add_node(NODE_2)
    stage.state.workers[NODE_2].hostname = stage.state.workers[NODE].hostname
    told = [crossed for used in [95] * 8 for crossed in stage.second(used, NODE, NODE_2)]
    assert [each.id for each in told] == [NODE]


def test_only_nodes_have_thresholds() -> None:
    stage = Watched(MEMORY)
    stage.add_external()
    for worker_id in ("worker-none", EXTERNAL):
        order = o.CrossThreshold(worker_id, "memory", "warning", 85.0, 80.0, 3.0)
        assert stage.refuse(order, SYSTEM).code is ErrorCode.NOT_FOUND
    assert ACTS[WorkerCrossedThreshold].action == "cross_threshold"
    again = o.CrossThreshold(NODE, "memory", "ok", 10.0, 80.0, 3.0)
    assert stage.give(again, SYSTEM) == {}
    assert not any(isinstance(fact.event, WorkerCrossedThreshold) for fact in stage.facts)
