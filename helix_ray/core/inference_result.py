"""The result of an inference, as JSON has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict


class OutputFile(TypedDict):
    """A file with outputs. `shapes` are those of its outputs by name; `shard` and `first_row` say where it
    belongs in the result of a sharded task."""

    name: str
    format: str
    bytes: int
    sha256: str
    shapes: dict[str, list[int]]
    base64: str
    shard: NotRequired[int]
    first_row: NotRequired[int]


FIRST_ROWS_MAX = 10
"""Rows that are not finite, which an answer names."""


class NotFinite(TypedDict):
    """How many rows have an output that is NaN or infinity, the first of them, how many such values each
    output has, and why. `rows` is null where outputs have no row for each input."""

    rows: int | None
    first_rows: list[int]
    values: dict[str, int]
    reason: str


class InferenceResult(TypedDict, total=False):
    """What a model said of some rows, as `outputs` or `files`, and how it ran (docs/api.md).

    `precisions` (rows by variant) and `shards` (results without values, with `first_row`) are those of a
    sharded task; `not_finite` is there only where rows are; `success` once the attempt has ended.
    """

    success: bool
    model: str
    version: int | None
    variant: str
    outputs: Mapping[str, Any]
    files: list[OutputFile]
    shapes: dict[str, list[int]]
    precision: str | None
    arithmetic: str
    tuned: bool | None
    provider: str
    batch: int | None
    rows: int | None
    not_finite: NotFinite
    duration_ms: float
    first_row: int
    precisions: dict[str, int]
    shards: list[InferenceResult]
