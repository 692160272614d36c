"""A program that keeps a device busy: `python -m benchmarks.gpu_load PROVIDER ROWS SECONDS`.

It runs digits_resnet20 in batches for so long, and prints how many rows it did in a second."""

from __future__ import annotations

import sys
import time

import numpy as np

from helix_ray.digits import as_image, held_out
from helix_ray.inference.onnx import DEFAULT_ROOT


def main(provider: str, rows: int, seconds: float) -> float:
    """Return the rows of a second; the first batch, which makes the context, is not counted."""
    import onnxruntime

    if hasattr(onnxruntime, "preload_dlls") and provider == "CUDAExecutionProvider":
        onnxruntime.preload_dlls()
    session = onnxruntime.InferenceSession(DEFAULT_ROOT / "digits_resnet20.onnx", providers=[provider])
    if session.get_providers()[0] != provider:
        raise SystemExit(f"the session fell back to {session.get_providers()[0]}")
    images = as_image(held_out()[0])
    batch = images[np.arange(rows) % len(images)]
    session.run(None, {"image": batch})
    done, started = 0, time.perf_counter()
    while (taken := time.perf_counter() - started) < seconds:
        session.run(None, {"image": batch})
        done += rows
    return done / taken


if __name__ == "__main__":
    print(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
