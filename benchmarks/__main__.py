"""`python -m benchmarks [NAME ...] [--quick] [--json FILE]`: measure, print, keep as JSON."""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from benchmarks import (
    audit,
    audit_cost,
    bulk,
    cluster,
    commands,
    events,
    explain,
    gpu,
    growth,
    idle,
    inference,
    latency,
    models,
    placement,
    queueing,
    report,
    reserving,
    restart,
    sampling,
    single,
    start,
    sync,
    throughput,
    turns,
    webhook_chaos,
    webhooks,
    width,
)
from benchmarks.report import Report
from benchmarks.scale import FULL, QUICK, Scale

BENCHMARKS: dict[str, Callable[[Scale], Report]] = {
    module.NAME: module.run
    for module in (
        single,
        start,
        bulk,
        throughput,
        latency,
        commands,
        restart,
        growth,
        placement,
        queueing,
        reserving,
        explain,
        cluster,
        inference,
        turns,
        width,
        models,
        webhooks,
        webhook_chaos,
        sync,
        events,
        sampling,
        audit,
        idle,
        audit_cost,
        gpu,
    )
}
RESULTS = Path(__file__).parent / "results"


def main() -> int:
    """Run the benchmarks that were named, or all; 0 unless one could not run: they
    report, they never assert."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure Helix Ray beside its anchors."
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)} (all)")
    parser.add_argument(
        "--quick", action="store_true", help="small counts: shows that it works, not how fast it is"
    )
    parser.add_argument(
        "--audit-records", type=int, metavar="N", help="how many records `audit` searches (1,000,000)"
    )
    parser.add_argument(
        "--audit-folder",
        type=Path,
        metavar="FOLDER",
        help="where the records of `audit` are kept, and found again by later runs (200 bytes each)",
    )
    parser.add_argument(
        "--chaos-events",
        type=int,
        metavar="N",
        help="how many events `webhook_chaos` sends to each of 20 receivers",
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="where the figures go (benchmarks/results/DATE.json)"
    )
    given = parser.parse_args()
    unknown = set(given.names) - set(BENCHMARKS)
    if unknown:
        parser.error(
            f"no benchmark is called {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}"
        )
    # What Ray, Dask and Celery warn of is about them.
    warnings.simplefilter("ignore")
    console = Console(width=None if sys.stdout.isatty() else report.COLUMNS)
    about = report.machine()
    names = given.names or [*BENCHMARKS]
    scale = QUICK if given.quick else FULL
    if given.audit_records is not None:
        scale = replace(scale, audit_records=given.audit_records)
    if given.audit_folder is not None:
        scale = replace(scale, audit_folder=given.audit_folder)
    if given.chaos_events is not None:
        scale = replace(scale, webhook_chaos_events=given.chaos_events)
    found = [_run(name, scale, console) for name in names]
    reports = [each for each in found if each is not None]
    report.show_summary(reports, console)
    path = given.json or RESULTS / f"{datetime.now(UTC):%Y-%m-%d}.json"
    report.save(path, reports, about)
    console.print(f"kept in {path}")
    return 0 if len(reports) == len(names) else 1


def _run(name: str, scale: Scale, console: Console) -> Report | None:
    """Run one benchmark; what goes wrong in it is shown and costs the others nothing."""
    started = time.monotonic()
    try:
        found = BENCHMARKS[name](scale)
    except Exception:
        console.print_exception()
        return None
    report.show(found, console)
    console.print(f"  took {time.monotonic() - started:.0f} s\n", highlight=False)
    return found


if __name__ == "__main__":
    sys.exit(main())
