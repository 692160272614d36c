"""Facts about data sets; `id` is the digest of the file."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class DatasetUploaded:
    """A user has uploaded a file of rows, for a project or as their own."""

    id: str
    owner: str
    project: str | None
    bytes: int


@dataclass(slots=True)
class DatasetDeleted:
    """An upload of a file was deleted, or its file has gone, because nothing had used it for long."""

    id: str
    owner: str
    project: str | None
