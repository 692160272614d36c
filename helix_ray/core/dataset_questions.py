"""Questions about data sets, and about how much is stored."""

from __future__ import annotations

from dataclasses import dataclass

from helix_ray.core.access import PUBLISHERS, READERS, WRITERS, Tokens
from helix_ray.core.question_kind import QuestionKind
from helix_ray.core.views.datasets import DatasetsView, DatasetView, StoredView


@dataclass(frozen=True, slots=True)
class ListDatasets(QuestionKind[DatasetsView]):
    """The data sets that the caller may use."""

    allowed = READERS
    tokens = Tokens.ALL


@dataclass(frozen=True, slots=True)
class GetDataset(QuestionKind[DatasetView]):
    """One data set."""

    allowed = READERS
    tokens = Tokens.ALL

    digest: str


@dataclass(frozen=True, slots=True)
class GetStored(QuestionKind[StoredView]):
    """How many bytes a project has stored and may store; without one, the caller's own."""

    allowed = WRITERS | PUBLISHERS
    tokens = Tokens.ALL

    project_id: str | None = None
