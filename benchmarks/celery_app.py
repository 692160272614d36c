"""The Celery anchor's application. `python -m benchmarks.celery_app REDIS_PORT` runs its
worker of two processes."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from celery import Celery
from celery.signals import worker_ready

WORKERS = 2
PREFETCH_TASKS = 64  # Celery's default is 4: too few for tasks that take no time

app = Celery("anchor")
app.conf.update(
    task_serializer="json",
    result_serializer="json",
    accept_content=["json"],
    worker_prefetch_multiplier=PREFETCH_TASKS,
    worker_send_task_events=False,
    task_send_sent_event=False,
    worker_hijack_root_logger=False,
    worker_redirect_stdouts=False,
    broker_connection_retry_on_startup=True,
)


@app.task(name="noop")  # type: ignore[untyped-decorator]
def noop() -> None:
    """Do nothing."""


@app.task(name="run_program")  # type: ignore[untyped-decorator]
def run_program(argv: list[str]) -> int:
    """Run a program to its end."""
    return subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True).returncode


def connect(port: int) -> None:
    """Name the Redis that carries tasks and results."""
    address = f"redis://127.0.0.1:{port}/0"
    app.conf.update(broker_url=address, result_backend=address)


@worker_ready.connect  # type: ignore[untyped-decorator]
def _say_ready(**about: Any) -> None:
    print("ready", flush=True)


def main() -> int:
    """Run the worker until SIGTERM."""
    connect(int(sys.argv[1]))
    options = ["--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel=ERROR"]
    app.worker_main(["worker", "--pool=prefork", f"--concurrency={WORKERS}", *options])
    return 0


if __name__ == "__main__":
    # The task is registered under this module's real name, which the worker must be able to import.
    from benchmarks import celery_app

    sys.exit(celery_app.main())
