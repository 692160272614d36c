"""CPU time of a server that nobody uses, by process, beside bare Serve's hello world at rest."""

from __future__ import annotations

import time
from collections import defaultdict

from benchmarks.processes import Server, helix, hello
from benchmarks.report import Line, Report, Series
from benchmarks.scale import Scale

NAME = "idle"
# Ray warms workers up for some seconds after it is ready.
REST_S = 15.0
# Of the load of a scale: an idle process uses a hundredth of a core.
LOADS = 5.0

Found = defaultdict[tuple[str, str], list[float]]


def run(scale: Scale) -> Report:
    """Let both rest beside each other, and then measure them in turn, as many rounds as the scale says."""
    found: Found = defaultdict(list)
    with hello() as greeter, helix() as server:
        time.sleep(REST_S)
        for _ in range(scale.rounds):
            for name, each in (("hello", greeter), ("helix", server)):
                _measure(name, each, LOADS * scale.load_s, found)
    return _report(found)


def _measure(name: str, server: Server, seconds: float, found: Found) -> None:
    began, before = time.monotonic(), server.cpu_by_actor()
    time.sleep(seconds)
    passed, after = time.monotonic() - began, server.cpu_by_actor()
    used = {actor: (after[actor] - before[actor]) / passed * 1e3 for actor in after}
    for actor, ms in used.items():
        found[name, actor].append(ms)
    found[name, ""].append(sum(used.values()))


def _report(found: Found) -> Report:
    def series(name: str, actor: str, label: str = "") -> Series:
        return Series(label, "ms/s", tuple(found[name, actor]))

    actors = sorted(
        (actor for name, actor in found if name == "helix" and actor),
        key=lambda actor: -series("helix", actor).median,
    )
    lines = [Line("all processes", series("helix", ""), series("hello", "", "hello"))]
    for actor in actors:
        anchor = series("hello", actor, "hello") if ("hello", actor) in found else None
        lines.append(Line(f"  {actor}", series("helix", actor), anchor))
    notes = (
        "milliseconds of CPU time in a second, of all processes below each server; 10 ms/s are 1 % of a core",
        "others are Ray's own processes (GCS, raylet, agents), the launcher and the starter",
    )
    return Report(NAME, "CPU time at rest, beside bare Serve's hello world", tuple(lines), notes)
