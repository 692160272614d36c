"""Tunes a model version on this machine, in a child process of low priority and within a time limit.

A variant that kills the child is left out with the reason, and so are a provider's batch sizes from one
on that takes more memory than there may be. Another child measures what is left.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal, cast

from helix_ray.blobs.store import BlobStore
from helix_ray.inference.child import KEPT_VARIABLES, Child, ChildLimits
from helix_ray.inference.errors import InferenceRefused
from helix_ray.inference.node_class import node_class
from helix_ray.inference.threads import usable_threads
from helix_ray.inference.tuner import (
    TrialRow,
    TuningJob,
    TuningReport,
    choose,
    choose_by_name,
)
from helix_ray.inference.variants import Message, TrialJob

__all__ = ["TuningJob", "TuningReport", "tune"]

PROGRAM = "helix_ray.inference.tuning_child"
DEVICE_VARIABLES = ("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES")
TIME_GRACE_S = 20.0
"""The child keeps to the time limit by itself, between two calls; after so much more it is killed."""

FILE_BYTES_MAX = 64 * 2**20

Progress = Callable[[float, str], None]


def tune(job: TuningJob, blobs: Path, progress: Progress) -> TuningReport:
    """Return what was measured and chosen; the variants' files and the held-out rows are `blobs / digest`.

    `progress` gets the part that is done, 0 to 1, and a line of text. Raises InferenceRefused where nothing
    can be measured, with the reason, BlobError where a file is missing or damaged, and OSError.
    """
    started = time.monotonic()
    measured = _Measured()
    store = BlobStore(blobs)
    with ExitStack() as stack:
        for digest in {*(each["digest"] for each in job.variants if each["state"] == "ready"), job.heldout}:
            if digest is not None:
                stack.enter_context(store.pin(digest))
        while not measured.is_over:
            left = max(0.0, job.time_limit_s - (time.monotonic() - started))
            _Trial(replace(job, time_limit_s=left), blobs, progress, measured).run()
    rows = _latest(measured.rows)
    if measured.ended is not None and not any(row["ratio"] for row in rows):
        raise InferenceRefused(measured.ended)
    choices = choose(rows)
    machine = node_class()
    return {
        "node_class": job.node_class or machine.name,
        "machine": machine.details,
        "choices": [*choices, *choose_by_name(rows, choices)],
        "rows": rows,
        "data": measured.data,
        "seconds": round(time.monotonic() - started, 1),
    }


def _latest(rows: Iterable[TrialRow]) -> list[TrialRow]:
    """Return one row of each candidate and batch size: a child may say again what one before it said."""
    found = {
        (row["variant"], row["provider"], row["threads"], row["batch"], row.get("cuda_graph", False)): row
        for row in rows
    }
    return list(found.values())


@dataclass(slots=True)
class _Measured:
    """What the children have measured so far: the rows, which providers and batch sizes they complete, and
    why a step is not tried again. `ended` says what ended the last child that did not end by itself."""

    rows: list[TrialRow] = field(default_factory=list)
    done: list[tuple[str, int]] = field(default_factory=list)
    skip: dict[str, str] = field(default_factory=dict)
    data: Literal["given", "synthetic"] = "synthetic"
    is_over: bool = False
    ended: str | None = None


class _Trial:
    """One child, which adds to what was measured before it."""

    def __init__(self, job: TuningJob, blobs: Path, progress: Progress, measured: _Measured) -> None:
        self._job, self._blobs, self._progress, self._measured = job, blobs, progress, measured
        self._step = ""

    def run(self) -> None:
        """Measure until all is done, or until a step ends the child: that one is left out from here on.

        Raises InferenceRefused where the model cannot be tuned, and where the child ended between two steps.
        """
        found = self._measured
        work: TrialJob = {
            "tuning": asdict(self._job), "blobs": str(self._blobs), "done": found.done, "skip": found.skip,
        }  # fmt: skip
        time_s = self._job.time_limit_s + TIME_GRACE_S
        limits = ChildLimits(self._job.memory_mb, time_s, time_s * usable_threads(), FILE_BYTES_MAX)
        with tempfile.TemporaryDirectory(prefix="helix-tuning-") as folder:
            variables = (*KEPT_VARIABLES, *DEVICE_VARIABLES)
            with Child(work, limits, Path(folder), PROGRAM, variables) as child:
                for message in child.messages():
                    self._hear(message)
                reason = child.reason()
        if not found.is_over:
            self._skip(reason or "without a word")

    def _skip(self, reason: str) -> None:
        found = self._measured
        found.ended = f"tuning ended: {reason}"
        if self._job.time_limit_s <= 0 and any(row["ratio"] for row in found.rows):
            found.is_over = True  # no time is left to try the rest
        elif not self._step or self._step in found.skip:
            raise InferenceRefused(found.ended)
        else:
            found.skip[self._step] = f"it ended the process that tried it: {reason}"

    def _hear(self, message: Message) -> None:
        found = self._measured
        if "refused" in message:
            raise InferenceRefused(f"this model cannot be tuned: {message['refused']}")
        if "rows" in message:
            found.rows += cast("list[TrialRow]", message["rows"])  # our own child sent them
            found.data = message["data"]
            if (done := message["done"]) is None:
                found.is_over = True
            else:
                found.done.append(done)
        if "step" in message:
            self._step = message["step"]
        if "fraction" in message:
            self._progress(message["fraction"], "measure variants")
