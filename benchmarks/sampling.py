"""What it costs to measure a host once a second and to keep that, in CPU time."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from benchmarks.report import Line, Report, Series, at_most
from benchmarks.scale import Scale
from helix_ray.core.host_sample import HeardSample, HostSample
from helix_ray.monitoring.history import HostHistory
from helix_ray.monitoring.host import HostSampler

NAME = "sampling"
SAMPLES = 200
MS = 1000.0
# A hundredth of a core, at one sample a second.
CPU_MS_MAX = 10.0


def run(scale: Scale) -> Report:
    """Sample this host in turn with psutil, and write the samples as a head does."""
    sampler = HostSampler((Path("/tmp"), Path("/")))
    ours, anchor, written = [], [], []
    sampler.read()
    with tempfile.TemporaryDirectory() as folder:
        history = HostHistory(Path(folder))
        for number in range(scale.rounds):
            ours.append(_cpu_ms(lambda _: sampler.read()))
            anchor.append(_cpu_ms(_ask_psutil))
            written.append(_cpu_ms(_keeping(history, sampler.read(), time.time() + number * SAMPLES)))
        history.close()
    sampled = Series("", "ms", tuple(ours))
    lines = (
        Line("CPU time of a sample", sampled, Series("psutil", "ms", tuple(anchor)),
             at_most(CPU_MS_MAX, "ms (1 % of a core)", sampled)),
        Line("CPU time of its point in the history", Series("", "ms", tuple(written))),
    )  # fmt: skip
    return Report(NAME, "what it costs to measure a host and to keep it", lines, (_ABOUT,))


_ABOUT = "psutil reads processors, memory, swap, load, two disks and network cards, without control groups"


def _ask_psutil(_: int) -> None:
    psutil.cpu_percent(percpu=True)
    psutil.virtual_memory()
    psutil.swap_memory()
    psutil.getloadavg()
    psutil.disk_usage("/tmp")
    psutil.disk_usage("/")
    psutil.net_io_counters(pernic=True)


def _keeping(history: HostHistory, sample: HostSample, began: float) -> Callable[[int], None]:
    return lambda second: history.note([HeardSample("host", "node", began + second, sample)])


def _cpu_ms(work: Callable[[int], object]) -> float:
    began = time.process_time()
    for number in range(SAMPLES):
        work(number)
    return (time.process_time() - began) / SAMPLES * MS
