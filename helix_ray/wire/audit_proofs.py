"""Proofs about the journal, in JSON: hashes are base64, as in checkpoints."""

from __future__ import annotations

from base64 import b64encode
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, with_config
from typing_extensions import TypedDict

from helix_ray.core.views.proofs import CheckpointPageView, CheckpointView, ConsistencyView, InclusionView
from helix_ray.wire.times import iso
from helix_ray.wire.values import CLOSED

SEQ_MAX = 2**63 - 1
CHECKPOINTS_MAX = 1_000
Size = Annotated[int, Field(ge=0, le=SEQ_MAX)]
Seq = Annotated[int, Field(ge=1, le=SEQ_MAX)]


class InclusionQuery(BaseModel):
    """The query of a proof that a fact is among the first ones."""

    model_config = ConfigDict(extra="forbid")

    seq: Seq = Field(description="The seq of the fact.")
    size: Size | None = Field(None, description="Among how many facts it is; by default all.")


class ConsistencyQuery(BaseModel):
    """The query of a proof that a tree begins with an earlier one."""

    model_config = ConfigDict(extra="forbid")

    old: Size = Field(alias="from", description="How many facts the earlier tree has.")
    to: Size | None = Field(None, description="How many facts the later tree has; by default all.")


@with_config(CLOSED)
class CheckpointOut(TypedDict):
    """The newest checkpoint: a signed note in the format of C2SP."""

    checkpoint: str


class CheckpointsQuery(BaseModel):
    """The query of a page of checkpoints."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=1, le=CHECKPOINTS_MAX)] = Field(
        100, description="How many checkpoints at most."
    )
    cursor: Seq | None = Field(None, description="`next_cursor` of the page before.")


@with_config(CLOSED)
class RecordedCheckpointOut(TypedDict):
    """A checkpoint that was recorded: `checkpoint` is the signed note, `seq` the fact that has it."""

    seq: int
    timestamp: Annotated[str, Field(examples=["2025-11-07T10:00:00.000Z"])]
    size: int
    root: str
    checkpoint: str


@with_config(CLOSED)
class CheckpointsOut(TypedDict):
    """A page of checkpoints, the newest first."""

    checkpoints: list[RecordedCheckpointOut]
    next_cursor: int | None


@with_config(CLOSED)
class InclusionOut(TypedDict):
    """The path from a fact's leaf to the root of the first `size` facts."""

    seq: int
    size: int
    leaf: str
    root: str
    path: list[str]


@with_config(CLOSED)
class ConsistencyOut(TypedDict):
    """The proof that the first `new_size` facts begin with the first `old_size`."""

    old_size: int
    new_size: int
    old_root: str
    new_root: str
    path: list[str]


def checkpoint_out(view: CheckpointView) -> CheckpointOut:
    """Return a checkpoint for JSON."""
    return {"checkpoint": view["note"]}


def checkpoints_out(view: CheckpointPageView) -> CheckpointsOut:
    """Return a page of checkpoints for JSON."""
    return {
        "checkpoints": [
            {"seq": row["seq"], "timestamp": iso(row["at"]), "size": row["size"], "root": row["root"],
             "checkpoint": row["note"]}
            for row in view["rows"]
        ],
        "next_cursor": view["next"],
    }  # fmt: skip


def inclusion_out(view: InclusionView) -> InclusionOut:
    """Return a proof of inclusion for JSON."""
    return {
        "seq": view["seq"],
        "size": view["size"],
        "leaf": _text(view["leaf"]),
        "root": _text(view["root"]),
        "path": [_text(node) for node in view["path"]],
    }


def consistency_out(view: ConsistencyView) -> ConsistencyOut:
    """Return a proof of consistency for JSON."""
    return {
        "old_size": view["old"],
        "new_size": view["new"],
        "old_root": _text(view["old_root"]),
        "new_root": _text(view["new_root"]),
        "path": [_text(node) for node in view["path"]],
    }


def _text(node: bytes) -> str:
    return b64encode(node).decode()
