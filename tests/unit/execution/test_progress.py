"""Progress, as the running code calls it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from helix_ray.execution import progress as module
from helix_ray.execution.assignment import Progressed
from helix_ray.execution.progress import Cancelled, Sink, TaskInfo, current, install, progress


@pytest.fixture
def sent() -> Iterator[list[Progressed]]:
    reports: list[Progressed] = []
    install(Sink(TaskInfo("t", 1), reports.append))
    yield reports
    install(None)


def test_outside_a_task_nothing_happens() -> None:
    """The same code runs on a laptop without a cluster."""
    progress(1, 2)
    assert current() is None


def test_percentages(sent: list[Progressed], monkeypatch: pytest.MonkeyPatch) -> None:
    """n of total, n percent, kept within 0 to 100; a total of nothing is done."""
    monkeypatch.setattr(module, "REPORTS_PER_S_MAX", float("inf"))
    for n, total in ((1, 4), (30, None), (5, 4), (-1, 4), (0, 0)):
        progress(n, total)
    assert [report.percent for report in sent] == [25.0, 30.0, 100.0, 0.0, 100.0]
    for n, total in ((float("nan"), None), (1, -1), (1, float("nan"))):
        with pytest.raises(ValueError, match="invalid progress"):
            progress(n, total)


def test_throttle_holds_the_newest_for_the_end(sent: list[Progressed]) -> None:
    """In one instant the first goes out, the last is held, and flush sends it once."""
    sink = module._sink
    assert sink is not None
    for n in range(100):
        progress(n, 100)
    held = len(sent)
    sink.flush()
    sink.flush()
    assert sent[-1].percent == 99.0
    assert held + 1 == len(sent)
    assert len(sent) <= 3


def test_cancel_raises_through_except_exception(sent: list[Progressed]) -> None:
    """Code that swallows every Exception cannot swallow a cancel."""
    sink = module._sink
    assert sink is not None
    sink.cancelled = "stop"

    def careless() -> None:
        try:
            progress(1, 2)
        except Exception:
            pytest.fail("swallowed")

    with pytest.raises(Cancelled, match="stop"):
        careless()
    assert current() == TaskInfo("t", 1)
    assert sent == []
