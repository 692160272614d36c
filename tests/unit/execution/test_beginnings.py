"""Of a short command only the end is reported; of a longer one, its start comes before anything else."""

from __future__ import annotations

from pathlib import Path

from helix_ray.execution.assignment import Finished, Outcome, Started
from helix_ray.execution.starter.beginnings import BEGINNING_AGE_S_MAX, Beginnings
from helix_ray.execution.starter.levels import Wanted
from tests.unit.execution.starter_end import StarterEnd

BEGUN = Started("a", 1)


def end(task_id: str, attempt: int) -> Finished:
    """Return the end of an attempt."""
    return Finished(task_id, attempt, Outcome(True), 0.0, 0.0)


def test_the_end_says_it_all() -> None:
    """Only that of the same attempt."""
    kept = Beginnings()
    for item, told in ((end("a", 1), []), (end("a", 2), [BEGUN]), (end("b", 1), [BEGUN]), (None, [BEGUN])):
        kept.keep("slot", BEGUN, 0.0)
        assert kept.before("slot", item) == told
        assert kept.before("slot", item) == []


def test_it_is_reported_when_it_is_due() -> None:
    """Each slot has its own report; one that was made is not due again."""
    kept = Beginnings()
    assert kept.due_at() is None
    kept.keep("one", BEGUN, 10.0)
    kept.keep("two", Started("b", 1), 10.002)
    assert kept.due_at() == 10.0 + BEGINNING_AGE_S_MAX
    assert kept.due(10.004) == []
    assert kept.due(10.0 + BEGINNING_AGE_S_MAX) == ["one"]
    assert kept.before("one") == [BEGUN]
    assert kept.due(11.0) == ["two"]


def test_a_real_starter_reports_the_start_of_what_goes_on(tmp_path: Path) -> None:
    """The report of its end follows."""
    starter = StarterEnd(tmp_path, Wanted("none"))
    try:
        long = starter.submit({"shell": "exec sleep 600"})
        assert starter.started(long) == Started(long, 1)
        starter.cancel(long)
        assert starter.finished(long).outcome.error is not None
    finally:
        starter.close()
