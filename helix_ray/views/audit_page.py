"""Pages of the audit as it is stored, all columns of each record and checkpoint, for those who compare it
with the journal.

DuckDB makes the JSON of a page, so that a page costs the process that owns the file next to nothing.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import duckdb
import orjson

from helix_ray.views import outside
from helix_ray.views.audit import AUDIT
from helix_ray.views.checkpoints import CHECKPOINTS

COLUMNS: Final = tuple(column.name for column in AUDIT)
EVERY: Final = 1 << 62
CHECKPOINT_COLUMNS: Final = tuple(column.name for column in CHECKPOINTS)
_ROWS: Final = """
SELECT coalesce('[' || string_agg(json_array({columns})::VARCHAR, ',' ORDER BY {order}) || ']', '[]')
FROM (SELECT * FROM {file}.main.{table} WHERE seq > ? AND seq <= ? ORDER BY {order} LIMIT ?)
"""


class AuditPage(NamedTuple):
    """The records that begin after one fact and up to another, in their order, each with the values of
    COLUMNS; `checkpoints` are those of the same facts, with the values of CHECKPOINT_COLUMNS.

    `ingested` and `removed` are the position of the history then. Where nothing follows, the page has all
    that is left, and `settings` what is kept of each thing. `foreign` names what the file should not contain.
    """

    ingested: int
    removed: int
    rows: list[list[Any]]
    checkpoints: list[list[Any]]
    settings: list[list[str]] | None
    foreign: list[str]


def page_text(con: duckdb.DuckDBPyConnection, after: int, through: int) -> bytes:
    """Return a page as JSON. The first one is up to fact 0, where no record begins: it has `foreign`."""
    with outside.reading(con) as reading:
        return orjson.dumps(_values(reading, after, through))


def _values(reading: duckdb.DuckDBPyConnection, after: int, through: int) -> list[Any]:
    file = f'"{outside.file_in(reading)}"'
    foreign = outside.foreign(reading) if through == 0 else []
    if foreign:
        return [0, 0, [], [], None, foreign]
    position = reading.execute(f"SELECT ingested, audit_removed FROM {file}.main.position").fetchall()
    if len(position) != 1:
        return [0, 0, [], [], None, [f"{len(position)} rows in the table position"]]
    [(ingested, removed)] = position
    is_last = through >= ingested
    # Where there are more records than facts, the first that is too many shows itself.
    bounds = [after if through else -EVERY, EVERY if is_last else through, through - after + 1]
    rows, signed = (
        _rows(reading, _ROWS.format(columns=", ".join(columns), order=order, file=file, table=table), bounds)
        for table, columns, order in (
            ("audit", COLUMNS, "seq, last_seq"), ("checkpoints", CHECKPOINT_COLUMNS, "seq"),
        )
    )  # fmt: skip
    settings = None
    if is_last:
        settings = reading.execute(f"FROM {file}.main.configured ORDER BY thing, settings").fetchall()
    return [ingested, removed, rows, signed, settings, []]


def _rows(reading: duckdb.DuckDBPyConnection, statement: str, bounds: list[int]) -> orjson.Fragment:
    [(rows,)] = reading.execute(statement, bounds).fetchall()
    return orjson.Fragment(rows)


def page_of(text: bytes) -> AuditPage:
    """Return the page that a text has."""
    return AuditPage(*orjson.loads(text))
