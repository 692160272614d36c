"""Orders about models: people push, activate and delete; the system concludes what was found out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypedDict

from helix_ray.core.access import PUBLISHERS, SYSTEM_ONLY, Tokens
from helix_ray.core.model_records import FileRef, ModelMetadata
from helix_ray.core.orders.kind import NoData, OrderKind
from helix_ray.core.weight import ENDING_TASKS


class PushedData(TypedDict):
    """The version of the pushed files; `created` is false where it was there already."""

    name: str
    version: int
    created: bool
    examination: str


class VersionData(TypedDict):
    """The version that an order was about."""

    name: str
    version: int


class ModelData(TypedDict):
    """The model that an order was about."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PushModel(OrderKind[PushedData]):
    """Add a version of a model, whose files the blob store has, and examine it."""

    allowed = PUBLISHERS
    tokens = Tokens.ALL
    needs_key = True

    name: str
    file: FileRef
    calibration: FileRef | None = None
    heldout: FileRef | None = None
    project_id: str | None = None
    metadata: ModelMetadata = field(default_factory=ModelMetadata)
    activate: bool = False


@dataclass(frozen=True, slots=True)
class ActivateModel(OrderKind[VersionData]):
    """Make a version the one that tasks get which name only the model."""

    allowed = PUBLISHERS
    tokens = Tokens.ALL
    needs_key = True

    name: str
    version: int


@dataclass(frozen=True, slots=True)
class RollBackModel(OrderKind[VersionData]):
    """Make the version active that was active before."""

    allowed = PUBLISHERS
    tokens = Tokens.ALL
    needs_key = True

    name: str


@dataclass(frozen=True, slots=True)
class SetCanary(OrderKind[VersionData]):
    """Give a version so many percent of the tasks that name only the model; 0 ends that."""

    allowed = PUBLISHERS
    tokens = Tokens.ALL
    needs_key = True

    name: str
    version: int
    percent: float


@dataclass(frozen=True, slots=True)
class DeleteModelVersion(OrderKind[VersionData]):
    """Delete a version that nothing uses."""

    allowed = PUBLISHERS
    tokens = Tokens.ALL
    needs_key = True

    name: str
    version: int

    def work(self) -> int:
        """Return more than any light order: its examination ends with it."""
        return ENDING_TASKS


@dataclass(frozen=True, slots=True)
class DeleteModel(OrderKind[ModelData]):
    """Delete a model with all its versions."""

    allowed = PUBLISHERS
    tokens = Tokens.ALL
    needs_key = True

    name: str

    def work(self) -> int:
        """Return more than any light order: examinations end with it."""
        return ENDING_TASKS


@dataclass(frozen=True, slots=True)
class SubmitTuning(OrderKind[NoData]):
    """Measure a version on a class of nodes."""

    allowed = SYSTEM_ONLY
    needs_key = False  # one that was begun is not begun again

    name: str
    version: int
    node_class: str


@dataclass(frozen=True, slots=True)
class ConcludeModelTask(OrderKind[NoData]):
    """Take what an examination or a tuning found out, now that its task has ended."""

    allowed = SYSTEM_ONLY
    needs_key = False  # one that was concluded is left out

    task_id: str
