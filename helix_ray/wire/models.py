"""Models in JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Required

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, with_config
from pydantic import JsonValue as AnyJson
from typing_extensions import TypedDict

from helix_ray.core.model_records import ModelMetadata
from helix_ray.core.models import LICENCE_CHARS_MAX, MODEL_NAME_PATTERN, SOURCE_CHARS_MAX
from helix_ray.core.names import LINE_PATTERN
from helix_ray.core.views.models import (
    MARK_CHARS,
    EvidenceView,
    ModelView,
    TuningView,
    VersionEvidenceView,
    VersionLineView,
    VersionView,
)
from helix_ray.wire.runs import given
from helix_ray.wire.tasks import Labels
from helix_ray.wire.times import iso, iso_or_none
from helix_ray.wire.values import CLOSED, STRICT, ProjectId, adapter, strict

VERSION_MAX = 2**31
# Below the time after which proxies give up on a request that is silent.
WAIT_S_MAX = 25.0
# Fields of the form of a push beside its files; the text of each is bounded.
if TYPE_CHECKING:
    from helix_ray.core.model_records import ChoiceRecord as ChoiceJson
    from helix_ray.core.model_records import ModelMetadata as MetadataJson
    from helix_ray.core.model_records import TensorRecord as TensorJson
    from helix_ray.core.model_records import VariantRecord as VariantJson

    ObjectJson = dict[str, object]
else:
    # What the gate, the tuner and the runtime say: docs/models.md explains the fields.
    ChoiceJson = MetadataJson = TensorJson = VariantJson = ObjectJson = dict[str, AnyJson]

FORM_FIELDS = ("name", "project_id", "metadata", "activate", "url")
FORM_FILES = ("file", "calibration", "heldout")
FIELD_BYTES_MAX = 65_536

ModelName = Annotated[str, Field(pattern=MODEL_NAME_PATTERN, examples=["digits"])]
VersionNumber = Annotated[int, Field(ge=1, le=VERSION_MAX, examples=[3])]
Fraction = Annotated[float, Field(ge=0, le=1)]


@with_config(STRICT)
class BoundsIn(TypedDict, total=False):
    """What a variant must keep to against FP32."""

    max_relative_error: Fraction
    min_cosine: Fraction
    min_top1_agreement: Fraction
    max_accuracy_drop: Fraction


@with_config(STRICT)
class MetadataIn(TypedDict, total=False):
    """What its publisher says of a version."""

    licence: Annotated[str, Field(max_length=LICENCE_CHARS_MAX, pattern=LINE_PATTERN)] | None
    source: Annotated[str, Field(max_length=SOURCE_CHARS_MAX, pattern=LINE_PATTERN)] | None
    labels: Labels | None
    bounds: BoundsIn | None


@with_config(strict(name="digits", activate=True))
class PushIn(TypedDict, total=False):
    """The fields of a push beside its files."""

    name: Required[ModelName]
    project_id: ProjectId | None
    metadata: Annotated[MetadataIn, AfterValidator(given)] | None
    activate: bool | None


@with_config(strict(version=3))
class ActivateIn(TypedDict):
    """The version to activate."""

    version: VersionNumber


@with_config(strict(version=4, percent=10))
class CanaryIn(TypedDict):
    """A version and its percentage of the tasks that name only the model; 0 ends that."""

    version: VersionNumber
    percent: Annotated[float, Field(ge=0, le=100)]


class VersionQuery(BaseModel):
    """The query of a version."""

    model_config = ConfigDict(extra="forbid")

    wait_s: Annotated[float, Field(ge=0, le=WAIT_S_MAX)] = Field(
        0, description="How many seconds to wait until the version has been examined, or differs from `mark`."
    )
    mark: Annotated[str, Field(max_length=MARK_CHARS)] | None = Field(
        None, description="The `mark` of an earlier answer: wait for anything that has changed since."
    )


@with_config(CLOSED)
class PushedOut(TypedDict):
    """The version of the pushed files; `created` is false where it was there already. `examination` is the
    task that examines it."""

    name: str
    version: int
    created: bool
    examination: str
    sha256: str
    bytes: int


@with_config(CLOSED)
class CanaryOut(TypedDict):
    """A version and its percentage of tasks."""

    version: int
    percent: float


@with_config(CLOSED)
class TuningLineOut(TypedDict):
    """On which class of nodes a version is, or is to be, tuned: tuning, tuned, or failed for a reason."""

    node_class: str
    state: str
    reason: str | None


@with_config(CLOSED)
class ModelWorkOut(TypedDict):
    """A task under way for a version: its examination, or a tuning; `progress` in percent."""

    task: str
    kind: str
    node_class: str | None
    status: str
    progress: float
    note: str | None


@with_config(CLOSED)
class VersionLineOut(TypedDict):
    """A version in a list; `variants` may be used."""

    version: int
    state: str
    reason: str | None
    sha256: str
    bytes: int
    pushed_by: str
    pushed_at: str
    variants: list[str]
    tunings: list[TuningLineOut]


@with_config(CLOSED)
class ModelOut(TypedDict):
    """A model with its versions, the newest first; a rollback goes to `earlier`."""

    name: str
    owner: str
    project_id: str | None
    created_at: str
    active: int | None
    earlier: int | None
    canaries: list[CanaryOut]
    versions: list[VersionLineOut]


@with_config(CLOSED)
class ModelsOut(TypedDict):
    """Models."""

    models: list[ModelOut]


@with_config(CLOSED)
class FileOut(TypedDict):
    """A file by its SHA-256."""

    digest: str
    bytes: int


@with_config(CLOSED)
class VersionOut(TypedDict):
    """One version with all that is known of it."""

    name: str
    version: int
    state: str
    reason: str | None
    sha256: str
    bytes: int
    calibration: FileOut | None
    heldout: FileOut | None
    metadata: MetadataJson
    pushed_by: str
    pushed_at: str
    examined_at: str | None
    examination: str
    active: bool
    canary_percent: float
    inputs: list[TensorJson]
    outputs: list[TensorJson]
    opset: int | None
    batch: str | None
    warnings: list[str]
    variants: list[VariantJson]
    tunings: list[TuningLineOut]
    settled: bool
    work: list[ModelWorkOut]
    mark: str


@with_config(CLOSED)
class TuningOut(TypedDict):
    """What the tuner measured and chose on a class of nodes; `rows` are all measurements, `again_at` is when
    a tuning that failed is tried again."""

    node_class: str
    task: str
    state: str
    reason: str | None
    machine: ObjectJson
    choices: list[ChoiceJson]
    evidence: FileOut | None
    at: str
    again_at: str | None
    rows: list[ObjectJson]


@with_config(CLOSED)
class VersionEvidenceOut(TypedDict):
    """What was measured of a version."""

    version: int
    state: str
    reason: str | None
    examination: str
    examined_at: str | None
    variants: list[VariantJson]
    tunings: list[TuningOut]


@with_config(CLOSED)
class EvidenceOut(TypedDict):
    """What was measured of a model, by version, the newest first."""

    name: str
    active: int | None
    versions: list[VersionEvidenceOut]


PUSH: TypeAdapter[PushIn] = adapter(Annotated[PushIn, AfterValidator(given)])
ACTIVATE: TypeAdapter[ActivateIn] = adapter(ActivateIn)
CANARY: TypeAdapter[CanaryIn] = adapter(CanaryIn)


def metadata_of(push: PushIn) -> ModelMetadata:
    """Return the metadata of a push, as the state keeps it."""
    found: ModelMetadata = {}
    said = push.get("metadata") or {}
    if licence := said.get("licence"):
        found["licence"] = licence
    if source := said.get("source"):
        found["source"] = source
    if labels := said.get("labels"):
        found["labels"] = labels
    if bounds := said.get("bounds"):
        found["bounds"] = {**bounds}
    return found


def model_out(view: ModelView) -> ModelOut:
    """Return a model's view with ISO times."""
    return {
        **view,
        "created_at": iso(view["created_at"]),
        "canaries": [{**each} for each in view["canaries"]],
        "versions": [_line_out(each) for each in view["versions"]],
    }


def _line_out(view: VersionLineView) -> VersionLineOut:
    return {
        **view, "pushed_at": iso(view["pushed_at"]), "tunings": [{**each} for each in view["tunings"]]
    }  # fmt: skip


def version_out(view: VersionView) -> VersionOut:
    """Return a version's view with ISO times."""
    return {
        **view,
        "calibration": None if view["calibration"] is None else {**view["calibration"]},
        "heldout": None if view["heldout"] is None else {**view["heldout"]},
        "pushed_at": iso(view["pushed_at"]),
        "examined_at": iso_or_none(view["examined_at"]),
        "tunings": [{**each} for each in view["tunings"]],
        "work": [{**each} for each in view["work"]],
    }


def evidence_out(view: EvidenceView) -> EvidenceOut:
    """Return evidence with ISO times."""
    return {**view, "versions": [_version_evidence_out(each) for each in view["versions"]]}


def _version_evidence_out(view: VersionEvidenceView) -> VersionEvidenceOut:
    return {
        **view,
        "examined_at": iso_or_none(view["examined_at"]),
        "tunings": [_tuning_out(each) for each in view["tunings"]],
    }


def _tuning_out(view: TuningView) -> TuningOut:
    return {
        **view,
        "evidence": None if view["evidence"] is None else {**view["evidence"]},
        "at": iso(view["at"]),
        "again_at": iso_or_none(view["again_at"]),
        "rows": [],
    }
