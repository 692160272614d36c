"""What /metrics says of commits: placing, inferences, lost leases; counters never go back."""

from __future__ import annotations

from helix_ray.core import orders as o
from helix_ray.core.access import SYSTEM
from helix_ray.core.events import Fact, TaskCompleted
from helix_ray.core.fact_figures import FactFigures
from helix_ray.core.turns import REPORT_S_MAX, SILENT_MAX, TurnReports
from helix_ray.core.views.figures import LoopReport
from tests.unit.core.stage import COMMAND, DEV, NODE, Stage, spec


def test_placing_is_counted_of_first_attempts_that_waited_for_nothing(stage: Stage) -> None:
    """From the submit on; not a retry, not a task that waited for another, not one of a person."""
    figures = FactFigures()
    stage.add_node()
    [first] = stage.submit(spec(run=COMMAND))
    [after] = stage.submit(spec(run=COMMAND, depends_on=[first]))
    stage.now += 0.3
    stage.give(o.StartAttempts(((first, NODE),)), SYSTEM)
    figures.note(stage.state, stage.facts)
    assert figures.placement.counts == [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]
    assert abs(figures.placement.seconds - 0.3) < 1e-6
    before = len(stage.facts)
    stage.give(o.LoseWorker(NODE, "silent"), SYSTEM)
    figures.note(stage.state, stage.facts[before:])
    assert figures.leases_lost == {"external": 0, "node": 1}
    assert after in stage.state.tasks


def test_inferences_are_told_by_their_results(stage: Stage) -> None:
    figures = FactFigures()
    for result in ({"model": "digits", "arithmetic": "fp32"}, {"value": {"model": 1}}, None):
        event = TaskCompleted("task-1", 1, result, 0.02)
        figures.note(stage.state, [Fact(1, 0.0, DEV.id, "req", event)])
    assert figures.inferences.counts[2] == sum(figures.inferences.counts) == 1


def report(requests: int, streams: int = 1) -> LoopReport:
    """Return what a replica reports after so many requests."""
    counts = [requests, *[0] * 10]
    row = {"method": "GET", "route": "/x", "statuses": {"2xx": requests}, "counts": counts, "seconds": 1.0}
    return {
        "longest_s": 0.1, "ran": "x", "counts": counts, "seconds": 2.0,
        "replica": {"requests": [row], "streams": streams},
    }  # type: ignore[typeddict-item]  # fmt: skip


def test_counters_of_replicas_that_end_stay_in_the_sums() -> None:
    """A thousand replicas leave one row, and one that was only silent counts once when it speaks again."""
    reports, now = TurnReports(), 0.0
    for number in range(1000):
        reports.take("api", f"replica-{number}", report(3), now)
        now += REPORT_S_MAX + 1
    reports.take("api", "replica-999", report(5), now)
    told = reports.replicas(now)
    [row] = told["requests"]
    assert (row["counts"][0], row["statuses"], told["streams"]) == (3002, {"2xx": 3002}, 1)
    loops = reports.by_kind(now)["api"]
    assert (loops["processes"], loops["counts"][0], loops["seconds"]) == (1, 3002, 2000.0)
    assert len(reports._silent) == SILENT_MAX
    assert reports.by_kind(now + REPORT_S_MAX + 1) == {}
    assert reports.replicas(now + REPORT_S_MAX + 1)["streams"] == 0
