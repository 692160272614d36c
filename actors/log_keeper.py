"""Keeps the logs of a node within their limits: packed, and removed when they are old or too many.

A running attempt's log is packed and cut, never removed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from helix_ray.config import Settings
from helix_ray.execution.effects import Key
from helix_ray.execution.log import log_path
from helix_ray.execution.packed_log import BLOCK_BYTES, disk_bytes, pack, remove_log
from helix_ray.execution.spool import name_spools

log = logging.getLogger(__name__)

TEND_EVERY_S = 1.0
SWEEP_EVERY_S = 60.0


async def keep_logs(folder: Path, settings: Settings, attempts: Callable[[], Iterable[Key]]) -> None:
    """Tend and sweep for as long as the node lives; `attempts` returns those that have not ended."""
    keeper = LogKeeper(folder, settings.log_keep_s, settings.log_bytes_max, settings.logs_bytes_max)
    sweep_at = 0.0
    while True:
        running = [*attempts()]
        await asyncio.to_thread(keeper.tend, running)
        if time.monotonic() >= sweep_at:
            await asyncio.to_thread(keeper.sweep, running, time.time())
            sweep_at = time.monotonic() + SWEEP_EVERY_S
        await asyncio.sleep(TEND_EVERY_S)


class LogKeeper:
    """Tends the logs in a folder; `log_bytes_max` is for each, `logs_bytes_max` for all, in bytes."""

    def __init__(self, folder: Path, keep_s: float, log_bytes_max: int, logs_bytes_max: int) -> None:
        self._folder = folder
        self._keep_s = keep_s
        self._log_bytes_max = log_bytes_max
        self._logs_bytes_max = logs_bytes_max
        self._running: frozenset[Path] = frozenset()

    def tend(self, running: Collection[Key]) -> None:
        """Give the logs of running functions their names, and pack those that are written or have ended."""
        name_spools(str(self._folder))
        now = self._paths(running)
        for path in now | self._running:
            self._pack(path, over=path not in now)
        self._running = now

    def sweep(self, running: Collection[Key], now: float) -> int:
        """Remove logs last written more than `keep_s` seconds ago, then the oldest of those that have ended
        while all take more than `logs_bytes_max`; return how many."""
        spared = self._paths(running)
        kept: list[tuple[float, int, Path]] = []
        removed = 0
        for path in self._folder.glob("*.log"):
            with contextlib.suppress(FileNotFoundError):
                found = path.stat()
                if path not in spared and now - found.st_mtime > self._keep_s:
                    remove_log(path)
                    removed += 1
                    continue
                if path not in spared and found.st_blocks * 512 > BLOCK_BYTES:
                    self._pack(path, over=True)
                kept.append((found.st_mtime, disk_bytes(path), path))
        over = sum(used for _, used, _ in kept) - self._logs_bytes_max
        for _, used, path in sorted(kept):
            if over <= 0:
                break
            if path not in spared:
                remove_log(path)
                over -= used
                removed += 1
        return removed

    def _pack(self, path: Path, *, over: bool) -> None:
        try:
            pack(path, self._log_bytes_max, over=over)
        except FileNotFoundError:
            return  # nothing was written
        except OSError as error:
            log.warning("the log %s cannot be packed: %s", path.name, error)

    def _paths(self, attempts: Iterable[Key]) -> frozenset[Path]:
        return frozenset(log_path(str(self._folder), *key) for key in attempts)
