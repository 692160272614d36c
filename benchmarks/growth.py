"""Whether a POST /tasks costs more when a million tasks wait than when a thousand do."""

from __future__ import annotations

from benchmarks import history
from benchmarks.load import one_by_one, percentile
from benchmarks.processes import Helix, helix, scratch
from benchmarks.report import Line, Report, Series, ratio_at_most
from benchmarks.scale import Scale

NAME = "growth"
RATIO_MAX = 1.2
GIB = float(2**30)
TASK = {"title": "Test Task", "type": "planning", "priority": "high"}


def run(scale: Scale) -> Report:
    """Run a server with few tasks and one with many side by side, and POST to each in turn."""
    p50: dict[str, list[float]] = {"few": [], "many": []}
    p99: dict[str, list[float]] = {"few": [], "many": []}
    with scratch() as folder:
        for name, count in (("few", scale.few_tasks), ("many", scale.many_tasks)):
            history.write(folder / name, live=count)
        with helix(folder / "few") as few, helix(folder / "many") as many:
            for server in (few, many):
                _post(server, scale)
            for _ in range(scale.rounds):
                for name, server in (("few", few), ("many", many)):
                    taken = _post(server, scale)
                    p50[name].append(percentile(taken, 0.5) * 1e3)
                    p99[name].append(percentile(taken, 0.99) * 1e3)
            rss = many.actor("Master").memory_info().rss / GIB
    few_label = f"at {scale.few_tasks:,}"
    small, large = Series(few_label, "ms", tuple(p50["few"])), Series("", "ms", tuple(p50["many"]))
    lines = (
        Line(f"POST p50 at {scale.many_tasks:,} tasks", large, small,
             ratio_at_most(RATIO_MAX, f"that at {scale.few_tasks:,}", large, small)),
        Line(f"POST p99 at {scale.many_tasks:,} tasks", Series("", "ms", tuple(p99["many"])),
             Series(few_label, "ms", tuple(p99["few"]))),
    )  # fmt: skip
    notes = (
        "both servers run at the same time, each with its own data directory; the tasks wait for a worker",
        f"RSS of the master with {scale.many_tasks:,} waiting tasks: {rss:.2f} GiB",
    )
    return Report(NAME, "cost of one task as tasks grow in number", lines, notes)


def _post(server: Helix, scale: Scale) -> list[float]:
    post = server.request("POST", "/tasks", TASK)
    return [answer.seconds for answer in one_by_one(server.port, [post] * scale.single_requests)]
