"""Data sets in JSON."""

from __future__ import annotations

from pydantic import TypeAdapter, with_config
from typing_extensions import TypedDict

from helix_ray.core.views.datasets import DatasetView
from helix_ray.wire.times import iso
from helix_ray.wire.values import CLOSED, ProjectId, adapter, strict


@with_config(strict(project_id="website"))
class UploadIn(TypedDict):
    """The field of an upload beside its file."""

    project_id: ProjectId


@with_config(CLOSED)
class DatasetOut(TypedDict):
    """A stored data set: the SHA-256 of the file in hex, its bytes, and for which project it is."""

    digest: str
    bytes: int
    project_id: str | None


@with_config(CLOSED)
class UploadOut(TypedDict):
    """Who has uploaded a data set, and for which project."""

    owner: str
    project_id: str | None
    uploaded_at: str


@with_config(CLOSED)
class UploadedOut(TypedDict):
    """A data set with those uploads of it that the caller may know of, the oldest first."""

    digest: str
    bytes: int
    uploads: list[UploadOut]


@with_config(CLOSED)
class DatasetsOut(TypedDict):
    """Data sets, the last uploaded first."""

    datasets: list[UploadedOut]


def uploaded_out(view: DatasetView) -> UploadedOut:
    """Return a data set as JSON has it."""
    uploads: list[UploadOut] = [
        {
            "owner": each["owner"],
            "project_id": each["project_id"],
            "uploaded_at": iso(each["uploaded_at"]),
        }
        for each in view["uploads"]
    ]
    return {"digest": view["digest"], "bytes": view["bytes"], "uploads": uploads}


UPLOAD: TypeAdapter[UploadIn] = adapter(UploadIn)
