"""Tunes a model version on this machine, in a child process of low priority and within a time limit.

A variant that kills the child when it is opened is left out with the reason, and another child tunes the
others. Where a batch size ends the child, by the memory that it takes, what was measured before it counts.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Literal, cast

from helix_ray.blobs.store import BlobStore
from helix_ray.inference.child import KEPT_VARIABLES, Child, ChildLimits
from helix_ray.inference.errors import InferenceRefused
from helix_ray.inference.node_class import node_class
from helix_ray.inference.sessions import SessionPlan
from helix_ray.inference.threads import usable_threads
from helix_ray.inference.tuner import (
    TrialRow,
    TuningJob,
    TuningReport,
    choose,
    choose_by_name,
    unmeasured,
)
from helix_ray.inference.variants import FP32, Message, TrialJob

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
    skip: dict[str, str] = {}
    store = BlobStore(blobs)
    outcome = None
    with ExitStack() as stack:
        for digest in {*(each["digest"] for each in job.variants if each["state"] == "ready"), job.heldout}:
            if digest is not None:
                stack.enter_context(store.pin(digest))
        while outcome is None:
            left = max(0.0, job.time_limit_s - (time.monotonic() - started))
            outcome = _Trial(replace(job, time_limit_s=left), blobs, progress, skip).outcome()
    rows = cast("list[TrialRow]", outcome["rows"])  # our own child sent them
    choices = choose(rows)
    machine = node_class()
    return {
        "node_class": job.node_class or machine.name,
        "machine": machine.details,
        "choices": [*choices, *choose_by_name(rows, choices)],
        "rows": rows,
        "data": outcome["data"],
        "seconds": round(time.monotonic() - started, 1),
    }


class _Trial:
    """One child; `skip` gets the variant and the provider that ended it."""

    def __init__(self, job: TuningJob, blobs: Path, progress: Progress, skip: dict[str, str]) -> None:
        self._job, self._blobs, self._progress, self._skip = job, blobs, progress, skip
        self._step = ""
        self._planned: list[tuple[str, int]] = []
        self._measured: list[TrialRow] = []
        self._data: Literal["given", "synthetic"] = "synthetic"
        self._outcome: Message | None = None

    def outcome(self) -> Message | None:
        """Return what the child measured; None where a variant ended it that is left out from here on.

        Raises InferenceRefused where it ended for another reason.
        """
        work: TrialJob = {"tuning": asdict(self._job), "blobs": str(self._blobs), "skip": self._skip}
        time_s = self._job.time_limit_s + TIME_GRACE_S
        limits = ChildLimits(self._job.memory_mb, time_s, time_s * usable_threads(), FILE_BYTES_MAX)
        with tempfile.TemporaryDirectory(prefix="helix-tuning-") as folder:
            variables = (*KEPT_VARIABLES, *DEVICE_VARIABLES)
            with Child(work, limits, Path(folder), PROGRAM, variables) as child:
                for message in child.messages():
                    self._hear(message)
                reason = child.reason()
        if self._outcome is not None:
            return self._outcome
        if not self._step or self._step in self._skip:
            return self._part(f"tuning ended: {reason or 'it said nothing'}")
        self._skip[self._step] = f"it ended the process that tried it: {reason or 'without a word'}"
        return None

    def _part(self, why: str) -> Message:
        """Return what was measured before the child ended, and why the rest was not; raises InferenceRefused
        where nothing was."""
        if not any(row["ratio"] for row in self._measured):
            raise InferenceRefused(why)
        done = {(row["provider"], row["batch"]) for row in self._measured}
        missing = [
            unmeasured(FP32, SessionPlan(provider), size, f"not measured: {why}")
            for provider, size in self._planned
            if (provider, size) not in done
        ]
        return {"rows": [dict(row) for row in (*self._measured, *missing)], "data": self._data}

    def _hear(self, message: Message) -> None:
        if "refused" in message:
            raise InferenceRefused(f"this model cannot be tuned: {message['refused']}")
        if "rows" in message:
            self._outcome = message
        elif "planned" in message:
            self._planned = message["planned"]
        elif "measured" in message:
            self._measured += cast("list[TrialRow]", message["measured"])
            self._data = message["data"]
        elif "step" in message:
            self._step = message["step"]
        elif "fraction" in message:
            self._progress(message["fraction"], "measure variants")
