"""Questions about models."""

from __future__ import annotations

from dataclasses import dataclass

from helix_ray.core.access import READERS, SYSTEM_ONLY, Tokens
from helix_ray.core.question_kind import QuestionKind
from helix_ray.core.views.models import EvidenceView, ModelsView, ModelView, NamedFilesView, VersionView


@dataclass(frozen=True, slots=True)
class ListModels(QuestionKind[ModelsView]):
    """The models that the caller may use."""

    allowed = READERS
    tokens = Tokens.ALL


@dataclass(frozen=True, slots=True)
class GetModel(QuestionKind[ModelView]):
    """One model with its versions."""

    allowed = READERS
    tokens = Tokens.ALL

    name: str


@dataclass(frozen=True, slots=True)
class GetModelVersion(QuestionKind[VersionView]):
    """One version of a model. A wait ends when its `mark` is another than this one; without a mark, when it
    has been examined."""

    allowed = READERS
    tokens = Tokens.ALL

    rest_s = 0.05

    name: str
    version: int
    mark: str | None = None


@dataclass(frozen=True, slots=True)
class GetModelEvidence(QuestionKind[EvidenceView]):
    """What the gate and the tuner measured of a model, or of one version."""

    allowed = READERS
    tokens = Tokens.ALL

    name: str
    version: int | None = None


@dataclass(frozen=True, slots=True)
class NamedFiles(QuestionKind[NamedFilesView]):
    """The files that versions name: the blob store keeps these."""

    allowed = SYSTEM_ONLY
