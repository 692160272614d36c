"""Data sets: who has uploaded which file of rows, and for which project.

A file is named by its SHA-256 in hex, the digest. Whoever has uploaded it has an entry of their own for each
project: nobody learns from it who else has the same file, and nobody loses it by what others do.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, dataclass


@dataclass(frozen=True, slots=True)
class DataSet:
    """An uploaded file of rows; without a project it is its owner's own. Times are epoch seconds."""

    digest: str
    owner: str
    project: str | None
    bytes: int
    uploaded_at: float


DataSets = dict[str, tuple[DataSet, ...]]
"""Uploads by digest."""


def added(known: tuple[DataSet, ...], upload: DataSet) -> tuple[DataSet, ...]:
    """Return the uploads of a file with one more, which takes the place of an earlier one by the same user
    for the same project."""
    return (*without(known, upload.owner, upload.project), upload)


def without(known: tuple[DataSet, ...], owner: str, project: str | None) -> tuple[DataSet, ...]:
    """Return the uploads of a file without that of a user for a project."""
    return tuple(each for each in known if (each.owner, each.project) != (owner, project))


def packed_datasets(datasets: DataSets) -> list[list[object]]:
    """Return data sets as rows of JSON values."""
    return [list(astuple(each)) for uploads in datasets.values() for each in uploads]


def unpacked_datasets(rows: Iterable[list[object]]) -> DataSets:
    """Return the data sets of rows."""
    found: DataSets = {}
    for row in rows:
        upload = DataSet(*row)  # type: ignore[arg-type]  # as they were packed
        found[upload.digest] = (*found.get(upload.digest, ()), upload)
    return found
