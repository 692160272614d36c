"""The history of all hosts: a folder of rings, which one process writes and any may read.

A point of a coarser resolution is written when its time is over, from the finest ones, which are then on the
disk: a process that is killed loses none. What a reader misses because it is not written yet is made
from the finest points in the same way.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path

from helix_ray.core.host_points import (
    COARSER,
    FINEST,
    Level,
    Point,
    Span,
    point_of,
    series_of,
    slot_of,
    together,
)
from helix_ray.core.host_sample import HeardSample
from helix_ray.core.views.monitoring import SeriesView
from helix_ray.monitoring.ring import NotARing, Ring

log = logging.getLogger(__name__)

FOLDER = "hosts"
SUFFIX = ".points"
KEEP_S = 30 * 86_400.0
FILES_MAX = 1000
# Files that are open at a time: those of more hosts are opened for each of their points.
OPEN_MAX = 500
# After so long another node of the host speaks for it.
SILENT_S = 1.9


class HostHistory:
    """Writes the samples of hosts; used by one thread at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._rings: dict[str, Ring] = {}
        # The second of the last sample, when it came, and from which node.
        self._last: dict[str, tuple[int, float, str]] = {}
        self._failed = ""

    def note(self, samples: Iterable[HeardSample]) -> None:
        """Write samples; a disk that cannot be written to is logged once."""
        failed = ""
        for heard in samples:
            try:
                self._write(heard)
            except (OSError, NotARing) as error:
                self._drop(heard.hostname)
                failed = f"{type(error).__name__}: {error}"
        if failed and failed != self._failed:
            log.warning("the history of hosts has a gap: %s", failed)
        self._failed = failed

    def _write(self, heard: HeardSample) -> None:
        hostname, node_id, wall, sample = heard
        last = self._last.get(hostname)
        if last is not None and last[2] != node_id and 0 <= wall - last[1] < SILENT_S:
            # Several nodes of a host say the same: one speaks, as long as it is heard.
            return
        ring = self._ring(hostname)
        slot = slot_of(wall, None if last is None else last[:2])
        before = ring.newest() if last is None else last[0]
        ring.write(FINEST, slot, point_of(sample))
        self._last[hostname] = (slot, wall, node_id)
        for level in COARSER:
            if before is not None and before // level.step_s != slot // level.step_s:
                _write_over(ring, level, before - before % level.step_s)

    def _ring(self, hostname: str) -> Ring:
        if hostname not in self._rings:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if len(self._rings) >= OPEN_MAX:
                self._drop(next(iter(self._rings)))
            path = path_of(self._folder, hostname)
            try:
                self._rings[hostname] = Ring.open(path, hostname)
            except NotARing as error:
                log.warning(
                    "the history of host %s starts over: its file cannot be read: %s", hostname, error
                )
                path.unlink()
                self._rings[hostname] = Ring.open(path, hostname)
        return self._rings[hostname]

    def _drop(self, hostname: str) -> None:
        if (ring := self._rings.pop(hostname, None)) is not None:
            ring.close()

    def prune(self, now: float) -> None:
        """Remove the files of hosts that were last heard of before all that is kept, or of the most that were
        heard of longest ago; `now` in epoch seconds."""
        found: list[tuple[float, Path]] = []
        for path in self._folder.glob(f"*{SUFFIX}"):
            with contextlib.suppress(OSError):
                found.append((path.stat().st_mtime, path))
        found.sort(reverse=True)
        for place, (written, path) in enumerate(found):
            if place >= FILES_MAX or now - written > KEEP_S:
                with contextlib.suppress(OSError):
                    path.unlink()
        for hostname in [name for name, (_, wall, _) in self._last.items() if now - wall > KEEP_S]:
            del self._last[hostname]
            self._drop(hostname)

    def close(self) -> None:
        """Close the files."""
        for hostname in list(self._rings):
            self._drop(hostname)


def _write_over(ring: Ring, level: Level, start: int) -> None:
    """Write the point of a time that is over, of the finest ones; their order does not matter."""
    points = list(ring.read(FINEST, start, start + level.step_s).values())
    if points:
        ring.write(level, start, together(points))


def path_of(folder: Path, hostname: str) -> Path:
    """Return where the points of a host are; not every host name is safe as a file name."""
    return folder / f"{sha256(hostname.encode()).hexdigest()[:32]}{SUFFIX}"


def read_hosts(folder: Path, hostnames: Sequence[str], span: Span) -> list[SeriesView]:
    """Return the points of hosts; all of one that has no file are gaps."""
    return [series_of(_points(folder, hostname, span)) for hostname in hostnames]


def _points(folder: Path, hostname: str, span: Span) -> list[Point | None]:
    try:
        ring = Ring.open(path_of(folder, hostname))
    except (OSError, NotARing):
        return [None] * span.count
    try:
        return _of_ring(ring, span)
    finally:
        ring.close()


def _of_ring(ring: Ring, span: Span) -> list[Point | None]:
    end = span.start + span.count * span.step_s
    found = ring.read(span.level, span.start, end)
    if span.level != FINEST:
        _add_unwritten(found, ring, span, end)
    points: list[list[Point]] = [[] for _ in range(span.count)]
    for at, point in sorted(found.items()):
        points[(at - span.start) // span.step_s].append(point)
    return [None if not each else each[0] if len(each) == 1 else together(each) for each in points]


def _add_unwritten(found: dict[int, Point], ring: Ring, span: Span, end: int) -> None:
    """Add the points that are missing though there are finest ones of their time."""
    step_s = span.level.step_s
    missing: dict[int, list[Point]] = {}
    for at, point in ring.read(FINEST, max(span.start, end - FINEST.keep_s), end).items():
        if (start := at - at % step_s) not in found:
            missing.setdefault(start, []).append(point)
    found |= {start: together(points) for start, points in missing.items()}
