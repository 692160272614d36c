"""Models as questions are answered with them. Times are epoch seconds."""

from __future__ import annotations

from hashlib import sha256
from typing import TypedDict

from helix_ray.core.lifecycle import TERMINAL
from helix_ray.core.model_records import (
    ChoiceRecord,
    FileRef,
    ModelMetadata,
    TensorRecord,
    VariantRecord,
)
from helix_ray.core.models import EXAMINATION, TUNING, ModelRecord, ModelVersion
from helix_ray.core.node_classes import node_classes
from helix_ray.core.state import State

TO_BE_TUNED = "it runs in FP32 there until it was measured, which is to begin"
TUNED_WHEN_USED = "it is measured when it is active or a canary, and runs in FP32 until then"
# Somebody who waits for a version hears of its progress in steps of so many percent.
MARKED_PERCENT = 10
MARK_CHARS = 16


class CanaryView(TypedDict):
    """A version and its percentage of tasks."""

    version: int
    percent: float


class TuningLineView(TypedDict):
    """On which class of nodes a version is, or is to be, tuned, and why it is not. `untuned`: a node of the
    class lives, and nothing was measured there, so that the version runs in FP32."""

    node_class: str
    state: str
    reason: str | None


class VersionLineView(TypedDict):
    """A version in a list."""

    version: int
    state: str
    reason: str | None
    sha256: str
    bytes: int
    pushed_by: str
    pushed_at: float
    variants: list[str]
    tunings: list[TuningLineView]


class ModelWorkView(TypedDict):
    """A task under way for a version: its examination, or a tuning on a class of nodes. `note` is what it
    does at the moment, in its own words."""

    task: str
    kind: str
    node_class: str | None
    status: str
    progress: float
    note: str | None


class ModelView(TypedDict):
    """A model with its versions, the newest first. `earlier`: to which version a rollback goes."""

    name: str
    owner: str
    project_id: str | None
    created_at: float
    active: int | None
    earlier: int | None
    canaries: list[CanaryView]
    versions: list[VersionLineView]


class ModelsView(TypedDict):
    """Models by name."""

    models: list[ModelView]


class VersionView(TypedDict):
    """One version with all that is known of it."""

    name: str
    version: int
    state: str
    reason: str | None
    sha256: str
    bytes: int
    calibration: FileRef | None
    heldout: FileRef | None
    metadata: ModelMetadata
    pushed_by: str
    pushed_at: float
    examined_at: float | None
    examination: str
    active: bool
    canary_percent: float
    inputs: list[TensorRecord]
    outputs: list[TensorRecord]
    opset: int | None
    batch: str | None
    warnings: list[str]
    variants: list[VariantRecord]
    tunings: list[TuningLineView]
    # Whether its examination has ended, and so has every tuning that it is to get.
    settled: bool
    work: list[ModelWorkView]
    # Differs after every step of the version, its tunings and their tasks.
    mark: str


class TuningView(TypedDict):
    """The tuning of a version on a class of nodes; `evidence` is the file with all that was measured, and
    `again_at` when one that failed is tried again."""

    node_class: str
    task: str
    state: str
    reason: str | None
    machine: dict[str, object]
    choices: list[ChoiceRecord]
    evidence: FileRef | None
    at: float
    again_at: float | None


class VersionEvidenceView(TypedDict):
    """What the gate and the tuner measured of a version."""

    version: int
    state: str
    reason: str | None
    examination: str
    examined_at: float | None
    variants: list[VariantRecord]
    tunings: list[TuningView]


class EvidenceView(TypedDict):
    """What was measured of a model, by version, the newest first."""

    name: str
    active: int | None
    versions: list[VersionEvidenceView]


class NamedFilesView(TypedDict):
    """The digests of all files that versions name, and of the data sets of tasks that have not ended; and
    those of all data sets, which are kept for a while only."""

    digests: list[str]
    datasets: list[str]


def model_view(state: State, model: ModelRecord) -> ModelView:
    """Return a model with its versions."""
    return {
        "name": model.id,
        "owner": _username(state, model.owner),
        "project_id": model.project,
        "created_at": model.created_at,
        "active": model.active,
        "earlier": model.rolls_back_to(),
        "canaries": [{"version": v, "percent": p} for v, p in sorted(model.canaries.items())],
        "versions": [_line(state, model, each) for each in _newest_first(model)],
    }


def version_view(state: State, model: ModelRecord, version: ModelVersion) -> VersionView:
    """Return one version; a rejected one may be known by nothing but its reason."""
    report = version.report
    tunings, work = _tuning_lines(state, model, version), _work(state, version)
    shapes = report if report is not None and report["inputs"] else None
    return {
        "name": model.id,
        "version": version.number,
        "state": version.state,
        "reason": version.reason,
        "sha256": version.file["digest"],
        "bytes": version.file["bytes"],
        "calibration": version.calibration,
        "heldout": version.heldout,
        "metadata": version.metadata,
        "pushed_by": _username(state, version.owner),
        "pushed_at": version.pushed_at,
        "examined_at": version.examined_at,
        "examination": version.examination,
        "active": model.active == version.number,
        "canary_percent": model.canaries.get(version.number, 0.0),
        "inputs": shapes["inputs"] if shapes is not None else [],
        "outputs": shapes["outputs"] if shapes is not None else [],
        "opset": shapes["opset"] if shapes is not None else None,
        "batch": shapes["batch"] if shapes is not None else None,
        "warnings": report["warnings"] if report is not None else [],
        "variants": report["variants"] if report is not None else [],
        "tunings": tunings,
        "settled": _is_settled(model, version, tunings),
        "work": work,
        "mark": _mark(version.state, tunings, work),
    }


def _is_settled(model: ModelRecord, version: ModelVersion, tunings: list[TuningLineView]) -> bool:
    if version.state == "examining":
        return False
    # What no task gets is not tuned.
    open_states = ("tuning", "untuned") if version.number in model.used() else ("tuning",)
    return not any(line["state"] in open_states for line in tunings)


def _work(state: State, version: ModelVersion) -> list[ModelWorkView]:
    tasks: list[tuple[str, str, str | None]] = []
    if version.state == "examining":
        tasks.append((version.examination, EXAMINATION, None))
    for node_class, each in sorted(version.tunings.items()):
        if each["state"] == "tuning":
            tasks.append((each["task"], TUNING, node_class))
    found = ((state.tasks.get(task_id), kind, node_class) for task_id, kind, node_class in tasks)
    return [
        {
            "task": task.id,
            "kind": kind,
            "node_class": node_class,
            "status": task.status.value,
            "progress": task.progress,
            "note": task.note,
        }
        for task, kind, node_class in found
        if task is not None and task.status not in TERMINAL
    ]


def _mark(state: str, tunings: list[TuningLineView], work: list[ModelWorkView]) -> str:
    steps = [
        (each["task"], each["status"], each["progress"] // MARKED_PERCENT, each["note"]) for each in work
    ]
    lines = [(line["node_class"], line["state"]) for line in tunings]
    return sha256(repr((state, lines, steps)).encode()).hexdigest()[:MARK_CHARS]


def _tuning_lines(state: State, model: ModelRecord, version: ModelVersion) -> list[TuningLineView]:
    met: list[TuningLineView] = [
        {"node_class": node_class, "state": each["state"], "reason": each["reason"]}
        for node_class, each in sorted(version.tunings.items())
    ]
    if version.state != "ready":
        return met
    reason = TO_BE_TUNED if version.number in model.used() else TUNED_WHEN_USED
    missing = sorted(set(node_classes(state)) - version.tunings.keys())
    met += [{"node_class": each, "state": "untuned", "reason": reason} for each in missing]
    return met


def evidence_view(model: ModelRecord, number: int | None) -> EvidenceView:
    """Return what was measured of a model, or of one of its versions."""
    versions = [each for each in _newest_first(model) if number in (None, each.number)]
    return {"name": model.id, "active": model.active, "versions": [_evidence(each) for each in versions]}


def _evidence(version: ModelVersion) -> VersionEvidenceView:
    tunings: list[TuningView] = [
        {
            "node_class": node_class,
            "task": each["task"],
            "state": each["state"],
            "reason": each["reason"],
            "machine": each["machine"],
            "choices": each["choices"],
            "evidence": each["evidence"],
            "at": each["at"],
            "again_at": each["again_at"],
        }
        for node_class, each in sorted(version.tunings.items())
    ]
    return {
        "version": version.number,
        "state": version.state,
        "reason": version.reason,
        "examination": version.examination,
        "examined_at": version.examined_at,
        "variants": version.report["variants"] if version.report is not None else [],
        "tunings": tunings,
    }


def _line(state: State, model: ModelRecord, version: ModelVersion) -> VersionLineView:
    return {
        "version": version.number,
        "state": version.state,
        "reason": version.reason,
        "sha256": version.file["digest"],
        "bytes": version.file["bytes"],
        "pushed_by": _username(state, version.owner),
        "pushed_at": version.pushed_at,
        "variants": [each["name"] for each in version.variants()],
        "tunings": _tuning_lines(state, model, version),
    }


def _newest_first(model: ModelRecord) -> list[ModelVersion]:
    return sorted(model.versions.values(), key=lambda version: -version.number)


def _username(state: State, user_id: str) -> str:
    """Return the name of a user; the id of one who was removed."""
    user = state.users.get(user_id)
    return user_id if user is None else user.username
