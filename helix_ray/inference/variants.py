"""The words of an examination: the variants of a model version, the bounds they are judged by, the job, the
report.

`fp32` is the file as uploaded, and the reference for all others. A variant is `ready` where it was built
and is within the bounds, `refused` where it is outside them, and `failed` where it could not be built or
run at all.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, NotRequired, TypedDict

__all__ = [
    "ARITHMETIC",
    "BUILT",
    "FP16",
    "FP16_STORAGE",
    "FP32",
    "INT8_DYNAMIC",
    "INT8_STATIC",
    "TF32",
    "Accuracy",
    "ChildJob",
    "ChildRestrictions",
    "ExaminationJob",
    "ExaminationReport",
    "Gate",
    "GateBounds",
    "Message",
    "Signature",
    "TensorShape",
    "TrialJob",
    "Variant",
]

FP32 = "fp32"
TF32 = "tf32"
FP16 = "fp16"
FP16_STORAGE = "fp16-storage"
INT8_STATIC = "int8-static"
INT8_DYNAMIC = "int8-dynamic"

BUILT = (TF32, FP16, FP16_STORAGE, INT8_STATIC, INT8_DYNAMIC)
"""What is made of every model, in this order; `tf32` is an option of the session and has no file."""

ARITHMETIC = {
    FP32: "FP32",
    TF32: "TF32",
    FP16: "FP16",
    FP16_STORAGE: "FP32",
    INT8_STATIC: "INT8",
    INT8_DYNAMIC: "INT8",
}
"""What a variant computes in where the hardware can; FP16 storage computes in FP32, as does FP16 on x86."""


class Accuracy(TypedDict):
    """The share of labelled rows that FP32 and the variant get right, their difference (negative: the
    variant is worse), and the 95 % confidence interval of that paired difference."""

    fp32: float
    variant: float
    difference: float
    low: float
    high: float


class Gate(TypedDict):
    """How a variant compares to FP32 on rows that did not calibrate it.

    `max_relative_error` is the largest difference of an output, by the largest value of that output in
    FP32; `min_cosine` is over all rows; both are null where the variant gave values that are not finite.
    `method` says with what arithmetic it was judged.
    """

    data: Literal["given", "synthetic"]
    rows: int
    max_relative_error: float | None
    min_cosine: float | None
    top1_agreement: float | None
    accuracy: Accuracy | None
    passed: bool
    method: str


class Variant(TypedDict):
    """One variant. `automatic` says whether it may be activated without a person asking for it; `digest` is
    null where there is no file."""

    name: str
    digest: str | None
    bytes: int
    state: Literal["ready", "failed", "refused"]
    reason: str | None
    arithmetic: str
    gate: Gate | None
    automatic: bool
    file: NotRequired[str]


class TensorShape(TypedDict):
    """An input or output: numpy's name of its type, and its shape, where text or null means any size."""

    name: str
    dtype: str
    shape: list[int | str | None]


class Signature(TypedDict):
    """What admission finds out. `batch` is `dynamic` (any number of rows, independent of each other), `fixed
    N`, or `none` (axis 0 does not count rows)."""

    inputs: list[TensorShape]
    outputs: list[TensorShape]
    opset: int
    batch: str
    warnings: list[str]


class ExaminationReport(Signature):
    """What an examination found; a rejected model has a reason and no variants."""

    state: Literal["ready", "rejected"]
    reason: str | None
    variants: list[Variant]


class ChildRestrictions(TypedDict):
    """What the child limits itself to; hard limits of the kernel."""

    memory_mb: int
    cpu_s: float
    file_bytes_max: int


class ChildJob(TypedDict):
    """What a child has to do: `variants` by name, with the files in `folder`. Where an earlier child has
    admitted the model, its signature is `admitted`, and its rows, of the kind `data`, are in the folder."""

    folder: str
    memory_mb: int
    bounds: dict[str, float]
    variants: list[str]
    admitted: Signature | None
    data: Literal["given", "synthetic"]
    calibration: str | None
    heldout: str | None


class TrialJob(TypedDict):
    """What a child has to tune: the fields of a TuningJob, the folder of the files, the providers and batch
    sizes that are done, and why a step is not to be tried: it ended a child before this one."""

    tuning: dict[str, Any]
    blobs: str
    done: list[tuple[str, int]]
    skip: dict[str, str]


class Message(TypedDict, total=False):
    """What a child tells its parent: the step that begins, the part of it that is done, or its outcome.
    `rows` are those of a tuning (tuner.TrialRow) that are new, and `done` is the provider and batch size that
    they complete, None with the last ones."""

    step: str
    fraction: float
    admitted: Signature
    data: Literal["given", "synthetic"]
    refused: str
    variant: Variant
    rows: list[dict[str, object]]
    done: tuple[str, int] | None


@dataclass(frozen=True, slots=True)
class GateBounds:
    """What a variant may differ from FP32 by. Shares are 0 to 1.

    The error is the largest of all values of all rows, so for INT8 it is large where little is wrong:
    0.09 to 0.19 for a small convolutional net that loses no accuracy. What is really wrong shows in the
    cosine, too.
    """

    max_relative_error: float = 0.2
    min_cosine: float = 0.99
    min_top1_agreement: float = 0.99
    max_accuracy_drop: float = 0.005


@dataclass(frozen=True, slots=True)
class ExaminationJob:
    """What to examine: the digests of the model and of the data given with it, and the child's limits."""

    model: str
    calibration: str | None = None
    heldout: str | None = None
    bounds: GateBounds = field(default_factory=GateBounds)
    memory_mb: int = 2048
    time_limit_s: float = 600.0
