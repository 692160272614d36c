"""Samples the devices of a host in a thread of its own; everybody else reads the last sample."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from helix_ray.accelerators.device import NEEDS_TWO, Reading, as_sample, unknown
from helix_ray.accelerators.host import Family, Host
from helix_ray.accelerators.watched import CALL_S_MAX, DriverHangs, Watched
from helix_ray.core.specs import DeviceSample

log = logging.getLogger(__name__)

PERIOD_S = 2.0
# How often a family is looked for that has no device here.
SEARCH_S = 30.0
# Reading takes at most this share of a core: where it takes long (thousands of processes), it is done less
# often.
CPU_SHARE_MAX = 0.01
HANGS = f"the driver has not answered for {CALL_S_MAX:g} s"


class _Followed:
    """One family: its last readings, and when it is due."""

    def __init__(self, family: Family) -> None:
        self.family = family
        self.readings: Sequence[Reading] = ()
        self.due = 0.0
        self._watched = Watched(family.name)

    def sample(self, host: Host) -> None:
        """Read the family where it is due; what goes wrong leaves its devices without values."""
        now = host.clock()
        if now < self.due:
            return
        spent = 0.0
        try:
            self.readings, spent = self._watched.call(partial(_timed, self.family, host))
        except DriverHangs:
            self.readings = [replace(r, utilization=unknown(HANGS)) for r in self.readings]
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
            self.readings = [replace(r, utilization=unknown(why)) for r in self.readings]
            if not self.readings:
                log.debug("reading %s failed", self.family.name, exc_info=True)
        self.due = now + (spent / CPU_SHARE_MAX if self.readings else SEARCH_S)


def _timed(family: Family, host: Host) -> tuple[Sequence[Reading], float]:
    """Return a family's readings, and the CPU time in seconds that they took."""
    started = time.thread_time()
    readings = family.readings(host)
    return readings, time.thread_time() - started


class Sampler:
    """The last sample of every device; `kinds` are those that are reported."""

    def __init__(
        self,
        host: Host,
        families: Sequence[Family],
        period_s: float = PERIOD_S,
        kinds: frozenset[str] = frozenset({"gpu", "npu"}),
    ) -> None:
        self._host = host
        self._followed = [_Followed(family) for family in families]
        self._period_s = period_s
        self._kinds = kinds
        self._latest: list[DeviceSample] = []
        self._logged: dict[str, str] = {}
        self._stop = threading.Event()

    def start(self) -> None:
        """Begin to sample."""
        threading.Thread(target=self._run, name="accelerators", daemon=True).start()

    def stop(self) -> None:
        """End the thread after its sample."""
        self._stop.set()

    def latest(self) -> list[DeviceSample]:
        """Return the last sample: no call of a driver is made."""
        return self._latest

    def sample(self) -> None:
        """Take one sample, and log what has changed."""
        for followed in self._followed:
            followed.sample(self._host)
        readings = [r for f in self._followed for r in f.readings if r.device.kind in self._kinds]
        counts: dict[str, int] = {}
        sample = []
        for reading in readings:
            index = counts.get(reading.device.kind, 0)
            counts[reading.device.kind] = index + 1
            sample.append(as_sample(index, reading))
        self._latest = sample
        self._tell(readings)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.sample()
            except Exception:
                log.exception("sampling the accelerators failed; continuing")
            self._stop.wait(self._period_s)

    def _tell(self, readings: Sequence[Reading]) -> None:
        """Log one line for each device that came, went, or whose state changed."""
        states = {reading.device.id: _state(reading) for reading in readings}
        for reading in readings:
            device, state = reading.device, states[reading.device.id]
            if state is not None and self._logged.get(device.id) != state:
                log.info("%s %s (%s): %s", device.kind, device.name or device.id, device.driver, state)
                self._logged[device.id] = state
        for gone in self._logged.keys() - states.keys():
            del self._logged[gone]
            log.info("%s is gone", gone)


def _state(reading: Reading) -> str | None:
    """Return what a log line says of a device; None where it is too early to say."""
    used = reading.utilization
    if used.reason is not None and used.reason.startswith(NEEDS_TWO):
        return None
    return f"its utilization is unknown: {used.reason}" if used.value is None else f"read by {used.source}"
