"""Ray Data's map_batches on a cluster that `helix up` runs: a driver of its own, asked over a pipe.

python -m benchmarks.ray_data ADDRESS     # reads {"data", "model", "batch", "actors"} a line, answers rows/s
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from benchmarks.processes import ROOT, DidNotStart
from benchmarks.raw_ray import wait_for_all_cpus
from launcher.up.data_dir import DATA_DIR
from launcher.up.environment import ray as ray_environment

BLOCKS_PER_ACTOR = 8


class RayData:
    """A driver in a process of its own."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def rows_per_s(self, data: Path, model: str, batch: int, actors: int) -> float:
        """Run a model over a .npy file."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        asked = {"data": str(data), "model": model, "batch": batch, "actors": actors}
        self._process.stdin.write(orjson.dumps(asked) + b"\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise DidNotStart("the driver of Ray Data has ended")
        return float(answer)


@contextmanager
def joined(data_dir: Path) -> Iterator[RayData]:
    """Start a driver on the cluster that runs on a data directory."""
    state = DATA_DIR.read(data_dir)
    if state is None or state.ray_address is None:
        raise DidNotStart(f"no cluster runs on {data_dir}")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "HELIX_"))}
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.ray_data", state.ray_address],
        cwd=ROOT, env=kept | ray_environment(data_dir), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    # Leaving closes its stdin, which ends it, and waits for that.
    with process:
        yield RayData(process)


# ------------------------------------------------------------------------------------------ in the process


class Runs:
    """An actor of Ray Data: a session with one thread."""

    def __init__(self, model: str) -> None:
        import onnxruntime

        from helix_ray.inference.onnx import DEFAULT_ROOT

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        file = DEFAULT_ROOT / f"{model}.onnx"
        self._session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        self._name = self._session.get_inputs()[0].name

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        return {"logits": self._session.run(None, {self._name: batch["data"]})[0]}


def main() -> int:
    """Answer requests until stdin ends."""
    import ray

    # Ray Data prints to standard output, too.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    ray.init(sys.argv[1], logging_level=logging.ERROR, log_to_driver=False)
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    ray.data.DataContext.get_current().enable_progress_bars = False
    for line in sys.stdin.buffer:
        asked = orjson.loads(line)
        wait_for_all_cpus()
        answers.write(b"%f\n" % _run(**asked))
    return 0


def _run(data: str, model: str, batch: int, actors: int) -> float:
    import numpy as np
    import ray

    rows = np.load(data)
    blocks = ray.data.from_numpy(np.array_split(rows, BLOCKS_PER_ACTOR * actors))
    started = time.perf_counter()
    mapped = blocks.map_batches(
        Runs, fn_constructor_args=(model,), batch_size=batch, num_cpus=1,
        compute=ray.data.ActorPoolStrategy(size=actors),
    )  # fmt: skip
    whole = np.concatenate([part["logits"] for part in mapped.iter_batches(batch_size=None)])
    taken = time.perf_counter() - started
    assert len(whole) == len(rows)
    return len(rows) / taken


if __name__ == "__main__":
    sys.exit(main())
