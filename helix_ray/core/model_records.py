"""What facts say of models: files, metadata, and what examinations and tunings found out, as JSON has it.

The shapes are those of the reports (helix_ray/inference/variants.py and tuner.py).
"""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict


class FileRef(TypedDict):
    """A file in the blob store."""

    digest: str
    bytes: int


class BoundsRecord(TypedDict, total=False):
    """What a variant must keep to against FP32; missing ones have their defaults (inference/gate.py)."""

    max_relative_error: float
    min_cosine: float
    min_top1_agreement: float
    max_accuracy_drop: float


class ModelMetadata(TypedDict, total=False):
    """What its publisher says of a version."""

    licence: str
    source: str
    labels: dict[str, str]
    bounds: BoundsRecord


class AccuracyRecord(TypedDict):
    """Accuracy on labelled data, and the difference with its confidence interval."""

    fp32: float
    variant: float
    difference: float
    low: float
    high: float


class GateRecord(TypedDict):
    """What the gate measured of a variant against FP32. `synthetic`: on data made from the input shapes."""

    data: Literal["given", "synthetic"]
    rows: int
    max_relative_error: float | None
    min_cosine: float | None
    top1_agreement: float | None
    accuracy: AccuracyRecord | None
    passed: bool
    method: NotRequired[str]


class VariantRecord(TypedDict):
    """A file with the model in one arithmetic; `fp32` is the upload itself, and has no gate. `automatic`: it
    may be used without anybody asking for it."""

    name: str
    digest: str | None
    bytes: int
    state: Literal["ready", "failed", "refused"]
    reason: str | None
    arithmetic: str
    gate: GateRecord | None
    automatic: NotRequired[bool]


class TensorRecord(TypedDict):
    """An input or output: numpy's name of its type, and its shape, where text or null means any size."""

    name: str
    dtype: str
    shape: list[int | str | None]


class ExaminationRecord(TypedDict):
    """What an examination found; the first variant is fp32."""

    state: Literal["ready", "rejected"]
    reason: str | None
    inputs: list[TensorRecord]
    outputs: list[TensorRecord]
    opset: int
    batch: str
    warnings: list[str]
    variants: list[VariantRecord]


class ChoiceRecord(TypedDict):
    """What to run a batch of this size with, and its speed as a ratio to FP32 of the same run.

    `only_by_name`: it is for tasks that ask for its precision, and no others. `cuda_graph`: runs of equal
    shapes are recorded and launched as a whole.
    """

    batch: int
    variant: str
    provider: str
    threads: int
    ratio: float
    low: float
    high: float
    items_per_s: NotRequired[float]
    only_by_name: NotRequired[bool]
    cuda_graph: NotRequired[bool]


class TuningRecord(TypedDict):
    """The tuning of a version on a class of nodes: its task, and what it chose. `evidence` is the file with
    all that was measured, `tries` counts its tasks, `again_at` is when one that failed is tried again."""

    task: str
    state: Literal["tuning", "tuned", "failed"]
    reason: str | None
    machine: dict[str, object]
    choices: list[ChoiceRecord]
    evidence: FileRef | None
    at: float
    tries: int
    again_at: float | None


class ModelFiles(TypedDict):
    """What an executor gets of a version: the variants that may be used, and the choices for its node.
    `batch` is what its examination found: `dynamic`, `fixed N`, or `none`, where rows change each other."""

    model: str
    version: int
    batch: str
    node_class: str | None
    variants: list[VariantRecord]
    choices: list[ChoiceRecord]
