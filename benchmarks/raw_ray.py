"""Ray tasks on a cluster that `helix up` runs: a driver of its own, asked over a pipe.

python -m benchmarks.raw_ray ADDRESS     # reads {"wait_s", "count"} a line, answers
{"tasks_per_s", "by_node"}
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson

from benchmarks.processes import ROOT, DidNotStart
from launcher.up.data_dir import DATA_DIR
from launcher.up.environment import ray as ray_environment

# Executors of ours that nobody needs give their CPUs back; until then Ray's tasks would
# have to wait for them.
FREE_S_MAX = 60.0
ASK_EVERY_S = 0.1


@dataclass(frozen=True, slots=True)
class Ran:
    """What a round of Ray tasks came to; `by_node` counts tasks by Ray's node id."""

    tasks_per_s: float
    by_node: dict[str, int]


class RawRay:
    """A driver in a process of its own."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def run(self, wait_s: float, count: int) -> Ran:
        """Submit so many tasks that wait so long, and get them all."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(orjson.dumps({"wait_s": wait_s, "count": count}) + b"\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise DidNotStart("the driver of Ray tasks has ended")
        return Ran(**orjson.loads(answer))


@contextmanager
def joined(data_dir: Path) -> Iterator[RawRay]:
    """Start a driver on the cluster that runs on a data directory."""
    state = DATA_DIR.read(data_dir)
    if state is None or state.ray_address is None:
        raise DidNotStart(f"no cluster runs on {data_dir}")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "HELIX_"))}
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.raw_ray", state.ray_address],
        cwd=ROOT, env=kept | ray_environment(data_dir), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    # Leaving closes its stdin, which ends it, and waits for that.
    with process:
        yield RawRay(process)


# ------------------------------------------------------------------------------------------ in the process


def main() -> int:
    """Answer requests until stdin ends."""
    import ray

    ray.init(sys.argv[1], logging_level=logging.ERROR, log_to_driver=False)
    for line in sys.stdin.buffer:
        asked = orjson.loads(line)
        wait_for_all_cpus()
        _run(asked["wait_s"], 8 * int(ray.cluster_resources()["CPU"]))
        sys.stdout.buffer.write(orjson.dumps(_run(asked["wait_s"], asked["count"])) + b"\n")
        sys.stdout.buffer.flush()
    return 0


def wait_for_all_cpus() -> None:
    """Wait until nobody holds a CPU; raises TimeoutError."""
    import ray

    give_up = time.monotonic() + FREE_S_MAX
    while ray.available_resources().get("CPU", 0.0) < ray.cluster_resources()["CPU"]:
        if time.monotonic() > give_up:
            raise TimeoutError(f"others hold CPUs: {ray.available_resources()}")
        time.sleep(ASK_EVERY_S)


def _run(wait_s: float, count: int) -> dict[str, object]:
    import ray

    task = ray.remote(num_cpus=1)(_wait)
    started = time.perf_counter()
    nodes = ray.get([task.remote(wait_s) for _ in range(count)])
    return {"tasks_per_s": count / (time.perf_counter() - started), "by_node": Counter(nodes)}


def _wait(wait_s: float) -> str:
    import ray

    if wait_s:
        time.sleep(wait_s)
    return ray.get_runtime_context().get_node_id()


if __name__ == "__main__":
    sys.exit(main())
