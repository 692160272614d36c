"""Examines a model version: admission, building its variants, and the gate, all of it in a child process.

A variant that kills the child fails with the reason, and another child goes on with the next one. A model
that does so before it is admitted is rejected.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Literal

from helix_ray.blobs.store import BlobStore
from helix_ray.inference.child import Child, ChildLimits
from helix_ray.inference.variants import (
    ARITHMETIC,
    BUILT,
    FP32,
    ChildJob,
    ExaminationJob,
    ExaminationReport,
    Message,
    Signature,
    Variant,
)

__all__ = ["examine"]

STEP_TIME_SHARE = 0.5
"""Part of the time that is left which one step may take, so that no variant takes the time of the next."""

STEP_TIME_MIN_S = 1.0

FILE_BYTES_FACTOR = 4
FILE_BYTES_MIN = 64 * 2**20
"""A file of the child may be four times as large as the model, and 64 MiB in any case."""

_ADMISSION = "admission"
_MODEL = "model.onnx"
_SCRATCH = ".examination-"
_NOTHING: Signature = {"inputs": [], "outputs": [], "opset": 0, "batch": "none", "warnings": []}

Progress = Callable[[float, str], None]


def examine(job: ExaminationJob, blobs: Path, progress: Progress) -> ExaminationReport:
    """Return the report on the model `blobs / job.model`; files of variants are left in `blobs`, named by
    digest.

    `progress` gets the part that is done, 0 to 1, and a line of text. Whatever is wrong with the model is in
    the report. Raises BlobError where the model or its data is missing or damaged, and OSError.
    """
    store = BlobStore(blobs)
    with ExitStack() as stack:
        for digest in filter(None, (job.model, job.calibration, job.heldout)):
            stack.enter_context(store.pin(digest))
        folder = stack.enter_context(_scratch(blobs))
        # A copy, since native code may write to what it was given.
        shutil.copyfile(blobs / job.model, folder / _MODEL)
        return _Examination(job, store, folder, progress).report()


class _Examination:
    """One examination; its state is what the children have told."""

    def __init__(self, job: ExaminationJob, store: BlobStore, folder: Path, progress: Progress) -> None:
        self._job = job
        self._store = store
        self._folder = folder
        self._progress = progress
        self._deadline = time.monotonic() + job.time_limit_s
        self._waiting = list(BUILT)
        self._step = _ADMISSION
        self._signature: Signature | None = None
        self._data: Literal["given", "synthetic"] = "synthetic"
        self._variants: list[Variant] = []
        self._refused: str | None = None

    def report(self) -> ExaminationReport:
        """Run children until every variant is decided, or the model is rejected."""
        while self._refused is None and (self._signature is None or self._waiting):
            self._begin(_ADMISSION if self._signature is None else self._waiting[0])
            reason = self._run_child()
            if reason is None and not self._is_done():
                reason = "it ended before its work was done"
            if reason is not None and not self._is_done():
                self._died(reason)
        self._progress(1.0, "examined" if self._refused is None else f"rejected: {self._refused}")
        rejected = self._refused is not None or self._signature is None
        signature = self._signature or _NOTHING
        return {
            **signature,
            "state": "rejected" if rejected else "ready",
            "reason": self._refused,
            "variants": [] if rejected else [self._reference(), *self._variants],
        }

    def _is_done(self) -> bool:
        return self._refused is not None or (self._signature is not None and not self._waiting)

    def _run_child(self) -> str | None:
        limits = ChildLimits(
            self._job.memory_mb, self._step_time_s(), self._left_s(),
            max(FILE_BYTES_MIN, FILE_BYTES_FACTOR * (self._folder / _MODEL).stat().st_size),
        )  # fmt: skip
        with Child(self._child_job(), limits, self._folder) as child:
            for message in child.messages():
                self._hear(message, child)
            return child.reason()

    def _child_job(self) -> ChildJob:
        return {
            "folder": str(self._folder), "memory_mb": self._job.memory_mb, "bounds": asdict(self._job.bounds),
            "variants": self._waiting, "admitted": self._signature, "data": self._data,
            "calibration": self._path(self._job.calibration), "heldout": self._path(self._job.heldout),
        }  # fmt: skip

    def _path(self, digest: str | None) -> str | None:
        return None if digest is None else str(self._store.folder / digest)

    def _hear(self, message: Message, child: Child) -> None:
        if "step" in message:
            self._begin(message["step"])
            child.allow(self._step_time_s())
        elif "admitted" in message:
            self._signature, self._data = message["admitted"], message["data"]
        elif "refused" in message:
            self._refused = message["refused"]
        elif "variant" in message:
            self._decided(self._kept(message["variant"]))
        elif "fraction" in message:
            self._tell(message["fraction"])

    def _begin(self, step: str) -> None:
        self._step = step
        self._tell(0.0)

    def _tell(self, part: float) -> None:
        steps = len(BUILT) + 1
        done = 0 if self._signature is None else steps - len(self._waiting)
        text = "run the model in a child process"
        if self._step != _ADMISSION:
            text = f"build and judge {self._step}"
        self._progress(min(1.0, (done + part) / steps), text)

    def _died(self, reason: str) -> None:
        """Blame the step at which the child ended."""
        if self._signature is None:
            self._refused = reason
        else:
            self._decided(_failed(self._waiting[0], reason))

    def _decided(self, variant: Variant) -> None:
        self._waiting.remove(variant["name"])
        self._variants.append(variant)

    def _kept(self, variant: Variant) -> Variant:
        """Store the file of a variant; its digest is computed here and not by the child."""
        if variant.pop("file", None) is not None:
            written = self._store.add(self._folder / f"{variant['name']}.onnx")
            variant["digest"], variant["bytes"] = written.digest, written.bytes
        return variant

    def _reference(self) -> Variant:
        size = self._store.size(self._job.model)
        return {
            "name": FP32, "digest": self._job.model, "bytes": size, "state": "ready", "reason": None,
            "arithmetic": ARITHMETIC[FP32], "gate": None, "automatic": True,
        }  # fmt: skip

    def _left_s(self) -> float:
        return max(STEP_TIME_MIN_S, self._deadline - time.monotonic())

    def _step_time_s(self) -> float:
        return max(STEP_TIME_MIN_S, round(self._left_s() * STEP_TIME_SHARE, 1))


def _failed(name: str, reason: str) -> Variant:
    return {
        "name": name, "digest": None, "bytes": 0, "state": "failed", "reason": reason,
        "arithmetic": ARITHMETIC[name], "gate": None, "automatic": False,
    }  # fmt: skip


@contextmanager
def _scratch(blobs: Path) -> Iterator[Path]:
    """Give a folder beside the blobs, on the same file system, that is removed at the end; those of
    processes that were killed are removed at the beginning."""
    for left in blobs.glob(f"{_SCRATCH}*"):
        if not Path(f"/proc/{left.name.removeprefix(_SCRATCH).partition('-')[0]}").exists():
            shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{_SCRATCH}{os.getpid()}-", dir=blobs))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
