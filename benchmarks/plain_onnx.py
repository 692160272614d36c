"""A plain loop of ONNX Runtime over a .npy file, in processes that start together.

python -m benchmarks.plain_onnx MODEL FILE BATCH INDEX COUNT   # says ready, reads a line, says its time
"""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from benchmarks.processes import ROOT
from helix_ray.inference.onnx import DEFAULT_ROOT

WARM_UP_BATCHES = 20


def plain_loop(data: Path, model: str, batch: int, processes: int) -> tuple[float, float]:
    """Return the rows that so many processes run a second, and their CPU seconds; each has a part of the
    file."""
    with ExitStack() as stack:
        started = []
        for index in range(processes):
            words = [model, str(data), str(batch), str(index), str(processes)]
            process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.plain_onnx", *words],
                cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
            )  # fmt: skip
            started.append(stack.enter_context(process))
        for process in started:
            assert process.stdout is not None
            process.stdout.readline()
        for process in started:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        said = [process.stdout.readline().split() for process in started if process.stdout is not None]
        rows = len(np.load(data, mmap_mode="r"))
        return rows / max(float(seconds) for seconds, _ in said), sum(float(cpu) for _, cpu in said)


def main() -> int:
    """Run one process's part."""
    import onnxruntime

    model, path, batch, index, count = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    file = DEFAULT_ROOT / f"{model}.onnx"
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    data = np.load(path, mmap_mode="r")
    start, stop = len(data) * index // count, len(data) * (index + 1) // count
    for _ in range(WARM_UP_BATCHES):
        session.run(None, {name: np.ascontiguousarray(data[:batch])})
    print("ready", flush=True)
    sys.stdin.readline()
    began, used = time.perf_counter(), time.process_time()
    batches = (np.ascontiguousarray(data[at : min(at + batch, stop)]) for at in range(start, stop, batch))
    whole = np.concatenate([session.run(None, {name: rows})[0] for rows in batches])
    print(time.perf_counter() - began, time.process_time() - used, flush=True)
    return 0 if len(whole) == stop - start else 1


if __name__ == "__main__":
    sys.exit(main())
