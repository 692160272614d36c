"""Puts a model and its data into a folder of blobs and examines them, as an executor does."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto

from helix_ray.inference.examine import examine
from helix_ray.inference.variants import ExaminationJob, ExaminationReport, Variant

MEMORY_MB = 512

Progress = Callable[[float, str], None]


def put(blobs: Path, data: bytes) -> str:
    """Store a blob, and return its digest."""
    digest = hashlib.sha256(data).hexdigest()
    (blobs / digest).write_bytes(data)
    return digest


def npz(**arrays: Any) -> bytes:
    """Return the bytes of an .npz file."""
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def examined(
    blobs: Path,
    model: ModelProto | bytes,
    calibration: bytes | None = None,
    heldout: bytes | None = None,
    progress: Progress = lambda part, text: None,
    **job: Any,
) -> ExaminationReport:
    """Return the report on a model."""
    data = model if isinstance(model, bytes) else model.SerializeToString()
    files = {
        word: put(blobs, file)
        for word, file in (("calibration", calibration), ("heldout", heldout))
        if file is not None
    }
    order = {"memory_mb": MEMORY_MB, "time_limit_s": 120.0} | files | job
    return examine(ExaminationJob(put(blobs, data), **order), blobs, progress)


def by_name(report: ExaminationReport) -> dict[str, Variant]:
    """Return the variants of a report."""
    return {variant["name"]: variant for variant in report["variants"]}
