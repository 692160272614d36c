"""A file of fixed size with the points of one host, at every resolution: a later point takes the place of the
one that is a round older.

The file begins with a page that says which host it is. A point has its time, so a place that was not written
in this round is a gap and not an old figure. Points are aligned to their size, which divides a page: none is
ever torn. What is not written yet takes no room on the disk.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path

import orjson

from helix_ray.core.host_points import FIELDS, LEVELS, Level, Point

FORMAT = 1
HEAD_BYTES = 4096
_RECORD = struct.Struct("<q14f")
# Room for figures that are added later.
_SPARE = (float("nan"),) * (14 - len(FIELDS))
_OFFSETS: dict[Level, int] = {}
FILE_BYTES = HEAD_BYTES
for _level in LEVELS:
    _OFFSETS[_level] = FILE_BYTES
    FILE_BYTES += _level.places * _RECORD.size


class NotARing(Exception):
    """The file is not the history of a host in this format."""


class Ring:
    """The open file of one host."""

    def __init__(self, descriptor: int, hostname: str) -> None:
        self._descriptor = descriptor
        self.hostname = hostname

    @classmethod
    def open(cls, path: Path, hostname: str | None = None) -> Ring:
        """Open the file; with a hostname to write, and made where it is missing. Raises OSError, NotARing."""
        flags = os.O_RDONLY if hostname is None else os.O_RDWR | os.O_CREAT
        descriptor = os.open(path, flags | os.O_CLOEXEC, 0o600)
        try:
            return cls(descriptor, _head(descriptor, hostname))
        except BaseException:
            os.close(descriptor)
            raise

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def write(self, level: Level, at: int, point: Point) -> None:
        """Write the point that begins at `at`, a multiple of the level's step. Raises OSError."""
        place = at // level.step_s % level.places
        record = _RECORD.pack(at, *point, *_SPARE)
        os.pwrite(self._descriptor, record, _OFFSETS[level] + place * _RECORD.size)

    def read(self, level: Level, start: int, end: int) -> dict[int, Point]:
        """Return the points that begin in `start` <= time < `end`, by their time. Raises OSError."""
        first = -(-start // level.step_s)
        count = min(-(-end // level.step_s) - first, level.places)
        return {at: point for at, point in self._records(level, first, count) if start <= at < end}

    def newest(self) -> int | None:
        """Return the time of the newest of the finest points; None where there is none. Raises OSError."""
        times = [at for at, _ in self._records(LEVELS[0], 0, LEVELS[0].places)]
        return max(times, default=None)

    def _records(self, level: Level, first: int, count: int) -> Iterator[tuple[int, Point]]:
        place = first % level.places
        for begin, end in ((place, min(place + count, level.places)), (0, place + count - level.places)):
            if end <= begin:
                continue
            size = (end - begin) * _RECORD.size
            data = os.pread(self._descriptor, size, _OFFSETS[level] + begin * _RECORD.size)
            whole = len(data) // _RECORD.size * _RECORD.size
            for at, *figures in _RECORD.iter_unpack(data[:whole]):
                if at:
                    yield at, tuple(figures[: len(FIELDS)])


def _head(descriptor: int, hostname: str | None) -> str:
    """Return which host the file is of; write that into an empty one."""
    said = os.pread(descriptor, HEAD_BYTES, 0).rstrip(b"\0")
    if not said and hostname is not None:
        os.ftruncate(descriptor, FILE_BYTES)
        said = orjson.dumps({"format": FORMAT, "hostname": hostname})
        os.pwrite(descriptor, said, 0)
    try:
        head = orjson.loads(said)
        if head["format"] != FORMAT or not isinstance(head["hostname"], str):
            raise NotARing(f"format {head['format']}")
    except (ValueError, KeyError, TypeError) as error:
        raise NotARing(str(error)) from error
    found: str = head["hostname"]
    return found
