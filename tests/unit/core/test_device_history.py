"""The history of devices: bounded, in points of ten seconds, in memory only."""

from __future__ import annotations

from typing import Any

from helix_ray.core.device_history import DEVICES_MAX, POINT_S, POINTS_MAX, DeviceHistory
from helix_ray.core.liveness import Gone, Heard, Liveness


def device(id: str = "gpu-0", utilization: float | None = 50.0, memory: int | None = 1024) -> Any:
    sample = {"id": id, "utilization": utilization, "memory_used_mb": memory}
    return {name: value for name, value in sample.items() if value is not None}


def test_samples_of_a_point_are_one() -> None:
    """Mean and maximum of the known ones; a point without any is unknown, not 0."""
    history = DeviceHistory()
    for wall, value in ((100, 20.0), (104, None), (109, 40.0), (110, None)):
        history.note("n", [device(utilization=value)], wall)
    first, second = history.of("n", "gpu-0").points(10)
    assert first == {"at": 100.0, "utilization": 30.0, "utilization_max": 40.0, "memory_used_mb": 1024.0}
    assert (second["at"], second["utilization"], second["utilization_max"]) == (110.0, None, None)
    assert history.of("n", "gpu-0").points(1) == [second]
    assert history.of("n", "gpu-0").mean_since(100) == 30.0
    assert history.of("n", "gpu-0").mean_since(110) is None


def test_it_is_bounded() -> None:
    """An hour of points, as many devices as a host may have, and nothing of a worker that is gone."""
    history = DeviceHistory()
    for step in range(POINTS_MAX + 50):
        history.note("n", [device()], step * POINT_S)
    points = history.of("n", "gpu-0").points(10_000)
    assert (len(points), points[0]["at"]) == (POINTS_MAX, 50 * POINT_S)
    for number in range(3 * DEVICES_MAX):
        history.note("n", [device(f"gpu-{number}")], 1e6 + number * POINT_S)
    assert len(history._series["n"]) == DEVICES_MAX
    history.forget("n")
    assert history.of("n", "gpu-0").points(10) == []


def test_a_clock_that_is_set_back_changes_nothing() -> None:
    """Older samples are left out: points stay in order."""
    history = DeviceHistory()
    for wall in (1000, 500, 1010):
        history.note("n", [device()], wall)
    assert [point["at"] for point in history.of("n", "gpu-0").points(10)] == [1000.0, 1010.0]


def test_heartbeats_fill_it_and_odd_ones_do_not() -> None:
    """External workers send figures of their own under any name."""
    liveness = Liveness()
    for number, devices in enumerate(("x", 5, True, [], None)):
        usage: Any = {"devices": devices}
        liveness.note(Heard("w", usage=usage), float(number), 100.0)
    assert liveness.devices.of("w", "gpu-0").points(10) == []
    usage = {"devices": [device()]}
    liveness.note(Heard("w", usage=usage), 10.0, 100.0)
    assert len(liveness.devices.of("w", "gpu-0").points(10)) == 1
    liveness.note(Gone("w"), 11.0, 101.0)
    assert liveness.devices.of("w", "gpu-0").points(10) == []
