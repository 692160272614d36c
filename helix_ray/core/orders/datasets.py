"""Orders about data sets: people upload and delete them, the system forgets those whose files are gone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from helix_ray.core.access import SYSTEM_ONLY, WRITERS, Tokens
from helix_ray.core.orders.kind import NoData, OrderKind


class UploadedData(TypedDict):
    """The data set that was uploaded."""

    digest: str
    bytes: int
    project_id: str | None


class DigestData(TypedDict):
    """The data set that an order was about."""

    digest: str


@dataclass(frozen=True, slots=True)
class UploadDataset(OrderKind[UploadedData]):
    """Take note of a file of rows, which the blob store has."""

    allowed = WRITERS
    tokens = Tokens.ALL
    needs_key = True

    digest: str
    bytes: int
    project_id: str | None = None


@dataclass(frozen=True, slots=True)
class DeleteDataset(OrderKind[DigestData]):
    """Delete one's own uploads of a file; for administrators, all of it."""

    allowed = WRITERS
    tokens = Tokens.ALL
    needs_key = True

    digest: str


@dataclass(frozen=True, slots=True)
class ForgetDatasets(OrderKind[NoData]):
    """Forget uploads before a time (epoch seconds) of files that were not in the store then."""

    allowed = SYSTEM_ONLY
    needs_key = False  # one that is forgotten is left out

    digests: tuple[str, ...]
    before: float
