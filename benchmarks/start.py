"""From the command to `ready`, to the end, and what it holds at rest: `helix up` of several nodes
beside bare Serve's hello."""

from __future__ import annotations

import contextlib
import re
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import psutil

from benchmarks.processes import PASSWORD, free_port, process, scratch
from benchmarks.report import Line, Report, Series, ratio_at_most
from benchmarks.scale import Scale

NAME = "start"
START_SHARE_OF_HELLO = 1.2
REST_SHARE_OF_HELLO = 1.3
REST_S = 3.0  # Ray warms workers up for a moment after it is ready
KIB_PER_MIB = 1024.0
HELLO = "hello"
# What is run in a folder, and its environment.
Command = Callable[[Path], tuple[list[str], dict[str, str]]]
ACTOR = re.compile(r"ray::([A-Za-z]+)")


def run(scale: Scale) -> Report:
    """Start and end each in turn, as many rounds as the scale says."""
    found: defaultdict[str, list[float]] = defaultdict(list)
    by_process: defaultdict[str, list[float]] = defaultdict(list)
    for _ in range(scale.start_rounds):
        _one(HELLO, _hello, found, by_process)
        for nodes in scale.start_nodes:
            _one(_name(nodes), partial(_helix, nodes), found, by_process)
    return _report(scale.start_nodes, found, by_process)


def _name(nodes: int) -> str:
    return f"{nodes} node{'s' if nodes > 1 else ''}"


def _hello(folder: Path) -> tuple[list[str], dict[str, str]]:
    return [sys.executable, "-m", "benchmarks.hello", str(free_port()), str(folder / "ray")], {}


def _helix(nodes: int, folder: Path) -> tuple[list[str], dict[str, str]]:
    words = ["--port", str(free_port()), "--data-dir", str(folder / "data"), "--nodes", str(nodes)]
    return [sys.executable, "-m", "launcher.up", *words], {"HELIX_ADMIN_PASSWORD": PASSWORD}


def _one(
    name: str, command: Command, found: dict[str, list[float]], by_process: dict[str, list[float]]
) -> None:
    """Start one, let it rest, and end it; add seconds and MiB to what was found."""
    with scratch() as folder:
        words, environment = command(folder)
        began = time.monotonic()
        with process(words, environment, "ready", folder / "log") as started:
            found[f"{name} start"].append(time.monotonic() - began)
            time.sleep(REST_S)
            held = _pss_mib(started.pid)
            stopping = time.monotonic()
        found[f"{name} stop"].append(time.monotonic() - stopping)
    found[f"{name} rest"].append(sum(held.values()))
    found[f"{name} processes"].append(len(held))
    for title, mib in _by_title(held).items():
        by_process[f"{name} {title}"].append(mib)


def _pss_mib(root: int) -> dict[tuple[int, str], float]:
    """Return what each process holds, its share of what it shares counted (PSS), in MiB."""
    held = {}
    top = psutil.Process(root)
    for each in (top, *top.children(recursive=True)):
        with contextlib.suppress(psutil.Error, OSError, IndexError):
            text = Path(f"/proc/{each.pid}/smaps_rollup").read_text()
            kib = next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
            held[each.pid, _title(each.cmdline())] = kib / KIB_PER_MIB
    return held


def _title(words: Sequence[str]) -> str:
    actor = ACTOR.match(words[0])
    if actor is not None:
        return actor[1]
    module = words[words.index("-m") + 1] if "-m" in words else ""
    script = next((Path(word).name for word in words if word.endswith(".py")), "")
    return module or script or Path(words[0]).name


def _by_title(held: dict[tuple[int, str], float]) -> dict[str, float]:
    sums: defaultdict[str, float] = defaultdict(float)
    for (_, title), mib in held.items():
        sums[title] += mib
    return sums


def _report(
    counts: Sequence[int], found: dict[str, list[float]], by_process: dict[str, list[float]]
) -> Report:
    def series(name: str, unit: str, label: str = "") -> Series:
        return Series(label, unit, tuple(found[name]))

    lines: list[Line] = []
    for what, key, unit, share in (
        ("from the command to ready", "start", "s", START_SHARE_OF_HELLO),
        ("from SIGTERM to the end", "stop", "s", None),
        ("memory at rest (PSS)", "rest", "MiB", REST_SHARE_OF_HELLO),
        ("processes at rest", "processes", "", None),
    ):
        anchor = series(f"{HELLO} {key}", unit, HELLO)
        for count in counts:
            ours = series(f"{_name(count)} {key}", unit)
            # The anchor has one node, so only one node of ours is judged by it.
            goal = ratio_at_most(share, HELLO, ours, anchor) if share and count == 1 else None
            lines.append(Line(f"{what}, {_name(count)}", ours, anchor, goal))
    first = f"{_name(counts[0])} "
    for name in sorted(by_process, key=lambda each: -by_process[each][0]):
        if name.startswith(first):
            title = name.removeprefix(first)
            other = by_process.get(f"{HELLO} {title}")
            anchor_of = Series(HELLO, "MiB", tuple(other)) if other else None
            lines.append(Line(f"  PSS of {title}", Series("", "MiB", tuple(by_process[name])), anchor_of))
    notes = (
        "each is started and ended in turn, on a data directory of its own, with what the disk "
        "cache holds by then",
        "PSS shares what processes have in common among all that map it, other programs on the machine too",
    )
    return Report(NAME, "start, stop and rest, beside bare Serve's hello world", tuple(lines), notes)
