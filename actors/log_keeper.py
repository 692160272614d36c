"""Keeps the logs of a node, and what its attempts have yielded, within their limits: logs are packed, and
both are removed when they are old or too many.

A running attempt's log is packed and cut, never removed; what it yields is neither.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import TypeAlias

from helix_ray.config import Settings
from helix_ray.execution.effects import Key
from helix_ray.execution.item_file import SUFFIX
from helix_ray.execution.log import log_path
from helix_ray.execution.packed_log import BLOCK_BYTES, disk_bytes, pack, remove_log
from helix_ray.execution.spool import name_spools

log = logging.getLogger(__name__)

TEND_EVERY_S = 1.0
SWEEP_EVERY_S = 60.0

_File: TypeAlias = "tuple[float, int, Path]"  # last written, bytes that it takes, where


async def keep_logs(folder: Path, settings: Settings, attempts: Callable[[], Iterable[Key]]) -> None:
    """Tend and sweep for as long as the node lives; `attempts` returns those that have not ended."""
    limits = (settings.log_bytes_max, settings.logs_bytes_max, settings.yields_bytes_max)
    keeper = LogKeeper(folder, settings.log_keep_s, *limits)
    sweep_at = 0.0
    while True:
        running = [*attempts()]
        await asyncio.to_thread(keeper.tend, running)
        if time.monotonic() >= sweep_at:
            await asyncio.to_thread(keeper.sweep, running, time.time())
            sweep_at = time.monotonic() + SWEEP_EVERY_S
        await asyncio.sleep(TEND_EVERY_S)


class LogKeeper:
    """Tends the files of attempts in a folder.

    `log_bytes_max` is for each log, `logs_bytes_max` for all, `yields_bytes_max` for all that was yielded.
    """

    def __init__(
        self, folder: Path, keep_s: float, log_bytes_max: int, logs_bytes_max: int, yields_bytes_max: int
    ) -> None:
        self._folder = folder
        self._keep_s = keep_s
        self._log_bytes_max = log_bytes_max
        self._logs_bytes_max = logs_bytes_max
        self._yields_bytes_max = yields_bytes_max
        self._running: frozenset[Path] = frozenset()

    def tend(self, running: Collection[Key]) -> None:
        """Give the logs of running functions their names, and pack those that are written or have ended."""
        name_spools(str(self._folder))
        now = self._paths(running)
        for path in now | self._running:
            self._pack(path, over=path not in now)
        self._running = now

    def sweep(self, running: Collection[Key], now: float) -> int:
        """Remove what was last written more than `keep_s` seconds ago, then the oldest of those that have
        ended while all take more than their limit; return how many files of attempts."""
        spared = self._paths(running)
        logs, old_logs = self._aged(".log", spared, now)
        yielded, old_yielded = self._aged(SUFFIX, spared, now)
        return (
            old_logs
            + old_yielded
            + _remove_oldest(logs, spared, self._logs_bytes_max)
            + _remove_oldest(yielded, spared, self._yields_bytes_max)
        )

    def _aged(self, suffix: str, spared: Collection[Path], now: float) -> tuple[list[_File], int]:
        """Remove the files that are too old; return those that are left, and how many were removed."""
        kept: list[_File] = []
        removed = 0
        for path in self._folder.glob(f"*{suffix}"):
            with contextlib.suppress(FileNotFoundError):
                found = path.stat()
                running = _log_of(path) in spared
                if not running and now - found.st_mtime > self._keep_s:
                    _remove(path)
                    removed += 1
                    continue
                if suffix != SUFFIX and not running and found.st_blocks * 512 > BLOCK_BYTES:
                    self._pack(path, over=True)
                used = found.st_size if suffix == SUFFIX else disk_bytes(path)
                kept.append((found.st_mtime, used, path))
        return kept, removed

    def _pack(self, path: Path, *, over: bool) -> None:
        try:
            pack(path, self._log_bytes_max, over=over)
        except FileNotFoundError:
            return  # nothing was written
        except OSError as error:
            log.warning("the log %s cannot be packed: %s", path.name, error)

    def _paths(self, attempts: Iterable[Key]) -> frozenset[Path]:
        return frozenset(log_path(str(self._folder), *key) for key in attempts)


def _remove_oldest(files: list[_File], spared: Collection[Path], bytes_max: int) -> int:
    """Remove the oldest files of attempts that have ended while all take more than `bytes_max`."""
    over = sum(used for _, used, _ in files) - bytes_max
    removed = 0
    for _, used, path in sorted(files):
        if over <= 0:
            break
        if _log_of(path) not in spared:
            _remove(path)
            over -= used
            removed += 1
    return removed


def _log_of(path: Path) -> Path:
    return path.with_suffix(".log")


def _remove(path: Path) -> None:
    if path.suffix == SUFFIX:
        path.unlink(missing_ok=True)
    else:
        remove_log(path)
