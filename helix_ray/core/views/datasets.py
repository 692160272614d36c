"""Data sets as questions are answered with them. Times are epoch seconds."""

from __future__ import annotations

from typing import TypedDict


class UploadView(TypedDict):
    """Who has uploaded a data set, and for which project."""

    owner: str
    project_id: str | None
    uploaded_at: float


class DatasetView(TypedDict):
    """A data set with those uploads of it that the caller may know of, the oldest first."""

    digest: str
    bytes: int
    uploads: list[UploadView]


class DatasetsView(TypedDict):
    """Data sets, the last uploaded first."""

    datasets: list[DatasetView]


class StoredView(TypedDict):
    """How many bytes of models and data sets a project has stored, and may store."""

    project_id: str
    stored_bytes: int
    limit_bytes: int
