"""The batch sizes of a tuning, and the inputs of a call at each, in the child only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from helix_ray.inference.candidate import Feed, NamedRows
from helix_ray.inference.providers import CPU
from helix_ray.inference.tuner import LARGE_BATCHES, TuningJob

__all__ = ["batch_of", "batches_of", "feed_of", "feeds_of"]

LARGE_BATCH_BYTES_MAX = 64 * 2**20
"""Inputs of a call of a large batch: with more, fewer rows keep a device busy, and calls hold copies."""


def batch_of(job: TuningJob) -> str:
    """Return what the examination found, else what the first axes of the inputs say: `dynamic`, `fixed N`, or
    `none` where they differ."""
    if job.batch is not None:
        return job.batch
    firsts = {each["shape"][0] if each["shape"] else 0 for each in job.inputs}
    if all(not isinstance(first, int) for first in firsts) and firsts:
        return "dynamic"
    size = firsts.pop() if len(firsts) == 1 else 0
    return f"fixed {size}" if isinstance(size, int) and size > 0 else "none"


def batches_of(batch: str, wanted: Sequence[int], provider: str, row_bytes: int) -> list[int]:
    """Return the batch sizes to measure with a provider: those that the model takes, and large ones where a
    device computes and their inputs are small."""
    if batch == "dynamic":
        large = [each for each in LARGE_BATCHES if each * row_bytes <= LARGE_BATCH_BYTES_MAX]
        return sorted({*wanted, *(() if provider == CPU else large)})
    return [1] if batch == "none" else [int(batch.split()[1])]


def feed_of(rows: NamedRows, batch: str, size: int, start: int = 0) -> Feed:
    """Return the inputs of one call with so many rows; the given ones are repeated where they are fewer."""
    if batch == "none":
        return {name: array[start % len(rows)] for name, array in rows.arrays.items()}
    count = size if batch == "dynamic" else int(batch.split()[1])
    chosen = np.arange(start, start + count) % len(rows)
    return {name: np.ascontiguousarray(array[chosen]) for name, array in rows.arrays.items()}


def feeds_of(rows: NamedRows, batch: str) -> Iterator[Feed]:
    """Give calls with the rows that prove a session."""
    step = 32 if batch == "dynamic" else 1 if batch == "none" else int(batch.split()[1])
    for start in range(0, len(rows), step):
        yield feed_of(rows.part(start, start + step), batch, min(step, len(rows) - start))
