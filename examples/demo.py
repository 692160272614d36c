"""The main job, end to end, on real parts: `make demo`.

Starts `helix up` with three Ray nodes in a temporary folder and, through the REST API alone, has them
classify the 497 held-out handwritten digits with both digits models, build and test the package in
examples/pkg_wordstat, and count primes 300 times. Checks every result, prints where the work was done and
what came of it, stops the server, and looks whether any process is left. Exit code 0 when all of that went
right, 1 with a line for everything that did not.
"""

from __future__ import annotations

import signal
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType

from demo_jobs import Job, all_jobs
from demo_report import Seen, print_report
from demo_server import NODES, DemoServer, ServerFailed, processes_left
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from helix_ray.client import Client, HelixError, Retries

RUN_S_MAX = 300.0
# The server is on this machine: if it does not respond for so long, it does not respond.
RETRY_S_MAX = 20.0
EXIT_INTERRUPTED = 130


def main() -> int:
    """Run the demonstration; return its exit code."""
    console = Console()
    began = time.monotonic()
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with tempfile.TemporaryDirectory(prefix="helix-demo-") as folder:
            wrong = _run(Path(folder), console)
    except KeyboardInterrupt:
        console.print("stopped; nothing is left running")
        return EXIT_INTERRUPTED
    except (ServerFailed, HelixError, OSError) as error:
        wrong = [str(error)]
    left = processes_left()
    wrong += [f"a process is left behind: {process}" for process in left]
    for line in wrong:
        console.print("[bold red]demo failed:[/]", end=" ")
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    if not wrong:
        console.print(
            f"All of it went right, and no process is left, in {time.monotonic() - began:.1f} s.",
            highlight=False,
        )
    return 1 if wrong else 0


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _run(folder: Path, console: Console) -> list[str]:
    """Start the server, do the jobs, report; return what went wrong."""
    columns = (
        SpinnerColumn(finished_text="[green]✓[/]"), TextColumn("{task.description}"), BarColumn(),
        MofNCompleteColumn(), TimeElapsedColumn(),
    )  # fmt: skip
    with DemoServer(folder) as server:
        with Progress(*columns, console=console) as progress:
            starting = progress.add_task(f"starting {NODES} Ray nodes and the API", total=1)
            server.wait_until_ready(lambda line: progress.update(starting, description=line))
            progress.update(starting, description=f"{NODES} Ray nodes and the API", completed=1)
            retries = Retries(total_s_max=RETRY_S_MAX)
            with Client(server.url, retries=retries) as client:
                client.login(server.username, server.password)
                seen = _do(all_jobs(), client, progress)
                workers = client.workers()
        server.stop()
    return print_report(seen, workers, console)


def _do(jobs: list[Job], client: Client, progress: Progress) -> list[Seen]:
    """Submit all jobs, follow them to their ends, and return what the API says of their tasks."""
    bars = {job.name: progress.add_task(job.name, total=len(job.tasks)) for job in jobs}
    ids: dict[str, list[str]] = {job.name: [] for job in jobs}
    job_of: dict[str, str] = {}
    for job in jobs:
        for answer in client.submit_batch(job.tasks):
            if "error" in answer:
                refusal = answer["error"]
                raise HelixError(refusal["code"], f"{job.name}: {refusal['message']}", refusal["details"])
            ids[job.name].append(answer["id"])
            job_of[answer["id"]] = job.name
    for task in client.as_completed(job_of, RUN_S_MAX):
        progress.advance(bars[job_of[task["id"]]])
    reading = progress.add_task("reading the results", total=len(job_of))
    found = []
    for job in jobs:
        pairs = []
        for task_id in ids[job.name]:
            pairs.append((client.get(task_id), client.result(task_id)))
            progress.advance(reading)
        found.append(Seen(job, [task for task, _ in pairs], [result for _, result in pairs]))
    return found


if __name__ == "__main__":
    sys.exit(main())
