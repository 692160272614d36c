"""The answer to an uploaded data set."""

from __future__ import annotations

from pydantic import with_config
from typing_extensions import TypedDict

from helix_ray.wire.values import CLOSED


@with_config(CLOSED)
class DatasetOut(TypedDict):
    """A stored data set: the SHA-256 of the file in hex, and its bytes."""

    digest: str
    bytes: int
