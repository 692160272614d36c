"""Signed checkpoints in the history's file, in the order of the journal."""

from __future__ import annotations

import duckdb

from helix_ray.core.events import CheckpointSigned, Fact
from helix_ray.core.proof_questions import ListCheckpoints
from helix_ray.core.views.proofs import CheckpointPageView, RecordedCheckpointView, page_of
from helix_ray.views.columns import Column

CHECKPOINTS = (
    Column("seq", "BIGINT NOT NULL", "int64"), Column("moment", "DOUBLE NOT NULL", "float64"),
    Column("size", "BIGINT NOT NULL", "int64"), Column("root", "VARCHAR NOT NULL", "object"),
    Column("note", "VARCHAR NOT NULL", "object"),
)  # fmt: skip
Row = tuple[int, float, int, str, str]


def row_of(fact: Fact, event: CheckpointSigned) -> Row:
    """Return the row of a fact."""
    return fact.seq, fact.at, event.size, event.id, event.note


def page(con: duckdb.DuckDBPyConnection, question: ListCheckpoints) -> CheckpointPageView:
    """Return a page, the newest first."""
    before = 1 << 62 if question.before is None else question.before
    rows = con.execute(
        "SELECT seq, moment, size, root, note FROM checkpoints WHERE seq < ? ORDER BY seq DESC LIMIT ?",
        [before, question.limit + 1],
    ).fetchall()
    found: list[RecordedCheckpointView] = [
        {"seq": seq, "at": at, "size": size, "root": root, "note": note} for seq, at, size, root, note in rows
    ]
    return page_of(found, question.limit)
