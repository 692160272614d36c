"""Models: a name, its versions, what was found out about each, and which of them inference uses.

A version is one uploaded file, examined once (admission, variants, the gate). It is `ready` or `rejected`
afterwards, and is measured once on every class of nodes. Files are named by their SHA-256 in hex, the digest.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields
from typing import Any, Literal, NamedTuple

from helix_ray.core.inference_run import dataset_of
from helix_ray.core.model_choice import choose, rows_of_batch
from helix_ray.core.model_records import (
    BoundsRecord,
    ExaminationRecord,
    FileRef,
    ModelFiles,
    ModelMetadata,
    TuningRecord,
    VariantRecord,
)
from helix_ray.core.specs import InferenceRun, Run

MODEL_NAME_PATTERN = r"^[a-z0-9][a-z0-9_.-]{0,63}$"
MODEL_NAMES_MAX = 10_000
# Versions of one name that are not deleted; and deleted ones that are still listed.
VERSIONS_MAX = 1_000
DELETED_VERSIONS_KEPT = 100
EARLIER_KEPT = 100
LICENCE_CHARS_MAX = 200
SOURCE_CHARS_MAX = 2_000
# The label of a node worker that names the class of its hardware and runtime.
NODE_CLASS_LABEL = "helix-inference-class"
BOUNDS = tuple(BoundsRecord.__annotations__)
# Kinds of runs that only the control plane makes.
EXAMINATION, TUNING = "examination", "tuning"

# How often a tuning is tried, how long after the first failure again, and how much later each time.
TUNING_TRIES_MAX = 4
TUNING_AGAIN_S = 300.0
TUNING_AGAIN_FACTOR = 4.0

VersionState = Literal["examining", "ready", "rejected", "deleted"]

_NAME = re.compile(MODEL_NAME_PATTERN[1:-1])


class ModelTask(NamedTuple):
    """A task that the control plane made for a version: its examination, or a tuning on a class of nodes."""

    model: str
    version: int
    node_class: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelVersion:
    """One version of a model. Times are epoch seconds; `examination` is the id of a task."""

    number: int
    owner: str
    file: FileRef
    calibration: FileRef | None
    heldout: FileRef | None
    metadata: ModelMetadata
    pushed_at: float
    examination: str
    # Whether it becomes active as soon as it is ready.
    activate: bool = False
    state: VersionState = "examining"
    reason: str | None = None
    report: ExaminationRecord | None = None
    examined_at: float | None = None
    # By class of nodes.
    tunings: dict[str, TuningRecord] = field(default_factory=dict)

    def is_same(self, file: FileRef, calibration: FileRef | None, heldout: FileRef | None) -> bool:
        """Say whether a push of these files is a push of this version again."""
        if self.state == "deleted" or (self.state == "rejected" and self.report is None):
            return False
        return (self.file, self.calibration, self.heldout) == (file, calibration, heldout)

    def wants_tuning(self, node_class: str, now: float) -> bool:
        """Say whether it was never measured on a class of nodes, or a failed try is due again."""
        known = self.tunings.get(node_class)
        if known is None:
            return True
        return known["state"] == "failed" and known["again_at"] is not None and known["again_at"] <= now

    def variants(self) -> list[VariantRecord]:
        """Return the variants that inference may use: those that passed the gate, and FP32."""
        if self.report is None or self.state != "ready":
            return []
        return [each for each in self.report["variants"] if is_usable(each)]


@dataclass(slots=True, kw_only=True)
class ModelRecord:
    """A name with its versions. `earlier` were active before, the newest last; `canaries` get so many percent
    of the tasks. A deleted model keeps its name's last number: no number ever means another file."""

    id: str
    owner: str
    project: str | None
    created_at: float
    newest: int = 0
    active: int | None = None
    earlier: list[int] = field(default_factory=list)
    canaries: dict[int, float] = field(default_factory=dict)
    versions: dict[int, ModelVersion] = field(default_factory=dict)
    deleted: bool = False

    def ready(self, number: int | None) -> ModelVersion | None:
        """Return a version that can be used; None where there is none."""
        version = self.versions.get(number or 0)
        return version if version is not None and version.state == "ready" else None

    def rolls_back_to(self) -> int | None:
        """Return the version that was active before and can still be used."""
        return next((each for each in reversed(self.earlier) if self.ready(each) is not None), None)

    def used(self) -> list[int]:
        """Return the versions that tasks get: the active one and the canaries."""
        return [each for each in (self.active, *self.canaries) if each is not None]

    def chosen_for(self, task_id: str) -> int | None:
        """Return the version for a task: a canary for its percentage of ids, else the active one."""
        if self.active is None or not self.canaries:
            return self.active
        place = _percentile(task_id)
        for number, percent in sorted(self.canaries.items()):
            place -= percent
            if place < 0:
                return number
        return self.active


def _percentile(text: str) -> float:
    """Return a number from 0 to 100 (exclusive) that is the same for the same text."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") / 2**48 * 100


def is_model_name(text: object) -> bool:
    """Say whether a text can be the name of a model."""
    return isinstance(text, str) and _NAME.fullmatch(text) is not None


def is_usable(variant: VariantRecord) -> bool:
    """Say whether inference may use a variant."""
    gate = variant.get("gate")
    return variant["state"] == "ready" and (gate is None or gate["passed"])


def tuning_again_after_s(tries: int) -> float | None:
    """Return how long after its failure a tuning is tried again; None after the last try."""
    return TUNING_AGAIN_S * TUNING_AGAIN_FACTOR ** (tries - 1) if tries < TUNING_TRIES_MAX else None


def reference(name: str, number: int) -> str:
    """Return how a run names a version."""
    return f"{name}@{number}"


def split_reference(text: str) -> tuple[str, int | None]:
    """Return the name and the number of `digits@3`; no number where none can be read."""
    name, _, number = text.partition("@")
    return name, int(number) if number.isascii() and number.isdecimal() else None


def used_reference(run: Run | None) -> str | None:
    """Return the version that a run names, None where it names none."""
    if run is None or run["kind"] != "inference":
        return None
    model = run["model"]
    return model if "@" in model else None


def with_version(run: InferenceRun, name: str, number: int) -> InferenceRun:
    """Return a run that names its version."""
    return {**run, "model": reference(name, number)}


def files_named_by(version: ModelVersion) -> Iterator[FileRef]:
    """Give the files that a version needs, so that they are kept."""
    if version.state == "deleted":
        return
    yield from (each for each in (version.file, version.calibration, version.heldout) if each is not None)
    for variant in version.report["variants"] if version.report is not None else ():
        if variant["digest"] is not None:
            yield {"digest": variant["digest"], "bytes": variant["bytes"]}
    yield from (each["evidence"] for each in version.tunings.values() if each["evidence"] is not None)


def files_needed_by(run: Run, files: ModelFiles | None = None) -> list[str]:
    """Return the digests of the files that an attempt needs on its node before it starts."""
    if run["kind"] == "examination" or run["kind"] == "tuning":
        return [file["digest"] for file in run["files"]]
    if run["kind"] != "inference":
        return []
    digests = (None if files is None else _chosen_file(run, files), dataset_of(run))
    return [digest for digest in digests if digest is not None]


def _chosen_file(run: InferenceRun, files: ModelFiles) -> str | None:
    """Return the file of the variant that a node runs; None where the attempt will say that there is none."""
    with suppress(LookupError):
        return choose(files, run.get("precision", "auto"), rows_of_batch(run)).variant["digest"]
    return None


# ------------------------------------------------------------------------------------------- snapshots

_VERSION_FIELDS = tuple(one.name for one in fields(ModelVersion))
_MODEL_FIELDS = tuple(one.name for one in fields(ModelRecord))


def packed(model: ModelRecord) -> dict[str, object]:
    """Return a model as JSON values by name."""
    values = {name: getattr(model, name) for name in _MODEL_FIELDS}
    versions = [{name: getattr(each, name) for name in _VERSION_FIELDS} for each in model.versions.values()]
    canaries = [[number, percent] for number, percent in model.canaries.items()]
    return {**values, "earlier": list(model.earlier), "canaries": canaries, "versions": versions}


def unpacked(values: Mapping[str, Any]) -> ModelRecord:
    """Return the model of JSON values by name."""
    versions = (ModelVersion(**each) for each in values["versions"])
    return ModelRecord(
        **{
            **values,
            "canaries": dict(values["canaries"]),
            "versions": {version.number: version for version in versions},
        }
    )
