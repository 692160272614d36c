"""Facts about models and their versions; `id` is the name of the model."""

from __future__ import annotations

from dataclasses import dataclass, field

from helix_ray.core.model_records import (
    ChoiceRecord,
    ExaminationRecord,
    FileRef,
    ModelMetadata,
)


@dataclass(slots=True)
class ModelVersionPushed:
    """A version was pushed; its examination is a task, which was submitted with it."""

    id: str
    version: int
    owner: str
    project: str | None
    file: FileRef
    examination: str
    calibration: FileRef | None = None
    heldout: FileRef | None = None
    metadata: ModelMetadata = field(default_factory=ModelMetadata)
    activate: bool = False


@dataclass(slots=True)
class ModelVersionExamined:
    """A version is ready or rejected. Without a report its examination did not end as it should."""

    id: str
    version: int
    state: str
    reason: str | None = None
    report: ExaminationRecord | None = None


@dataclass(slots=True)
class ModelActivationAsked:
    """A version that is examined is to become active when it is ready."""

    id: str
    version: int


@dataclass(slots=True)
class ModelActivated:
    """A version has become active: tasks that name only the model get it from here on."""

    id: str
    version: int


@dataclass(slots=True)
class ModelRolledBack:
    """The version that was active before is active again."""

    id: str
    version: int


@dataclass(slots=True)
class ModelCanarySet:
    """A version gets so many percent of the tasks that name only the model; 0 ends that."""

    id: str
    version: int
    percent: float


@dataclass(slots=True)
class ModelVersionDeleted:
    """A version was deleted."""

    id: str
    version: int


@dataclass(slots=True)
class ModelDeleted:
    """A model was deleted with all its versions."""

    id: str


@dataclass(slots=True)
class ModelTuningBegun:
    """A version is to be measured on a class of nodes; that is a task, which was submitted with it."""

    id: str
    version: int
    node_class: str
    task: str


@dataclass(slots=True)
class ModelTuned:
    """A version was measured on a class of nodes (`tuned`), or could not be (`failed`): then it is tried
    again after `again_after_s`, if ever."""

    id: str
    version: int
    node_class: str
    state: str
    reason: str | None = None
    choices: list[ChoiceRecord] = field(default_factory=list)
    machine: dict[str, object] = field(default_factory=dict)
    evidence: FileRef | None = None
    again_after_s: float | None = None
