"""The history of hosts in its files: gaps stay gaps, coarse points are made of fine ones."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from helix_ray.core.host_points import FINEST, LEVELS, Span, point_of
from helix_ray.core.host_sample import HeardSample, HostSample
from helix_ray.core.views.monitoring import SeriesView
from helix_ray.monitoring.history import HostHistory, path_of, read_hosts
from helix_ray.monitoring.ring import FILE_BYTES, NotARing, Ring

# The beginning of a minute.
START = 1_762_509_600


def sample(cpu: float) -> HostSample:
    return {"cpu_percent": cpu, "memory_used_mb": 100, "memory_total_mb": 200}


class Host:
    """One host's history; `told` reads it as another process does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.history = HostHistory(folder)

    def note(self, second: float, cpu: float, name: str = "a", node: str = "worker-1") -> None:
        self.history.note([HeardSample(name, node, START + second, sample(cpu))])

    def told(self, first: int, count: int, step_s: int = 1, level: int = 0) -> SeriesView:
        [series] = read_hosts(self.folder, ["a"], Span(START + first, count, step_s, LEVELS[level]))
        return series

    def restart(self) -> None:
        """Kill the writer: nothing is closed, and another one begins with the files."""
        self.history = HostHistory(self.folder)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path / "hosts")


def test_a_gap_is_a_gap(host: Host) -> None:
    """What was not measured is null: never the last value, never one between."""
    assert host.told(0, 3)["cpu"] == [None, None, None]
    host.note(0.5, 10.0)
    host.note(1.5, 20.0)
    host.restart()
    host.note(5.5, 30.0)
    series = host.told(0, 7)
    assert series["cpu"] == [10.0, 20.0, None, None, None, 30.0, None]
    assert series["memory_used"] == [100, 100, None, None, None, 100, None]
    assert series["temperature"] == [None] * 7
    assert host.told(0, 2, step_s=4)["cpu"] == [15.0, 30.0]


def test_coarse_points_are_written_when_their_time_is_over(host: Host) -> None:
    """Also by a writer that was killed in between; and what is not over yet is read from the fine points."""
    for second in range(65):
        host.note(second + 0.5, float(second))
        if second % 7 == 0:
            host.restart()
    ring = Ring.open(path_of(host.folder, "a"))
    assert sorted(ring.read(LEVELS[1], START, START + 600)) == [START + 10 * n for n in range(6)]
    assert [point[:2] for point in ring.read(LEVELS[2], START, START + 600).values()] == [(29.5, 59.0)]
    ring.close()
    assert host.told(0, 7, step_s=10, level=1)["cpu"] == [4.5, 14.5, 24.5, 34.5, 44.5, 54.5, 62.0]
    assert host.told(0, 2, step_s=60, level=2)["cpu_max"] == [59.0, 64.0]


def test_a_ring_keeps_a_round_and_its_size(host: Host) -> None:
    """What is a round older is written over, and is a gap where nothing was written since."""
    host.note(0.5, 1.0)
    host.note(FINEST.places + 0.5, 2.0)
    assert host.told(0, 1)["cpu"] == [None]
    assert host.told(FINEST.places, 1)["cpu"] == [2.0]
    # Its minute is over and was written from the fine point, before that was written over.
    assert host.told(0, 1, step_s=60, level=2)["cpu"] == [None]
    assert path_of(host.folder, "a").stat().st_size == FILE_BYTES < 4 << 20


def test_thirty_days_of_a_host_fit_below_fifty_megabytes(host: Host) -> None:
    """With a point in every place of each resolution; what is noted then needs neither disk nor memory."""
    host.note(0.5, 50.0)
    minutes, *_ = (level.places * level.step_s for level in reversed(LEVELS))
    ring = Ring.open(path_of(host.folder, "a"), "a")
    for level in LEVELS:
        for place in range(level.places):
            ring.write(level, START + minutes - (place + 1) * level.step_s, point_of(sample(50.0)))
    ring.close()
    host.restart()
    host.note(minutes + 0.5, 50.0)
    tracemalloc.start()
    for second in range(1, 121):
        host.note(minutes + second + 0.5, 50.0)
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    for place, level in enumerate(LEVELS):
        first = minutes + 120 - level.places * level.step_s
        assert host.told(first + level.step_s, level.places - 1, level.step_s, place)["cpu"] == [50.0] * (
            level.places - 1
        )
    stored = path_of(host.folder, "a").stat()
    assert stored.st_blocks * 512 <= FILE_BYTES + (1 << 16) < 4 << 20
    assert grown < 100_000


def test_nodes_of_one_host_count_once(host: Host) -> None:
    """One speaks for all, and another one when that is silent."""
    for second in range(6):
        if second < 3:
            host.note(second + 0.2, 10.0)
        host.note(second + 0.7, 90.0, node="worker-2")
    assert host.told(0, 6)["cpu"] == [10.0, 10.0, 10.0, None, 90.0, 90.0]


def test_after_a_damaged_file_it_starts_over_and_a_foreign_one_is_not_read(
    host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    host.note(0.5, 1.0)
    host.history.close()
    path_of(host.folder, "a").write_bytes(b"something else")
    with pytest.raises(NotARing):
        Ring.open(path_of(host.folder, "a"))
    assert host.told(0, 1)["cpu"] == [None]
    host.note(1.5, 2.0)
    assert host.told(1, 1)["cpu"] == [2.0]
    assert "starts over" in caplog.text


def test_a_disk_that_cannot_be_written_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "hosts").write_text("a file, no folder")
    host = Host(tmp_path / "hosts")
    host.note(0.5, 1.0)
    host.note(1.5, 1.0)
    assert caplog.text.count("has a gap") == 1


def test_hosts_that_are_long_gone_are_removed(host: Host) -> None:
    host.note(0.5, 1.0, "a")
    host.note(0.5, 1.0, "b")
    written = path_of(host.folder, "a").stat().st_mtime
    host.history.prune(written + 86_400)
    assert len(list(host.folder.iterdir())) == 2
    host.history.prune(written + 31 * 86_400)
    assert list(host.folder.iterdir()) == []
