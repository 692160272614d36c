"""Reads the history's file from outside: in a database of its own, whose names the file cannot give another
meaning.

A macro in the file takes the place of DuckDB's function of that name, and a view that of a table: whoever can
edit the file could make searches leave out what a plain look at the table still shows. So a file with
anything but the tables of this release is not used.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import duckdb

OUTSIDE: Final = "outside"
_FILE: Final = "SELECT database_name FROM duckdb_databases() WHERE NOT internal AND path IS NOT NULL"
# What a file contains, with the statement that makes it.
_CONTENTS: Final = """
SELECT database_name AS home, 'table ' || schema_name || '.' || table_name AS name, sql AS made
FROM duckdb_tables() WHERE NOT internal
UNION ALL SELECT database_name, 'view ' || schema_name || '.' || view_name, '' FROM duckdb_views()
          WHERE NOT internal
UNION ALL SELECT database_name, 'macro ' || schema_name || '.' || function_name, '' FROM duckdb_functions()
          WHERE NOT internal
UNION ALL SELECT database_name, 'index ' || schema_name || '.' || index_name, '' FROM duckdb_indexes()
UNION ALL SELECT database_name, 'sequence ' || schema_name || '.' || sequence_name, ''
          FROM duckdb_sequences()
UNION ALL SELECT database_name, 'type ' || schema_name || '.' || type_name, '' FROM duckdb_types()
          WHERE NOT internal
UNION ALL SELECT database_name, 'schema ' || schema_name, '' FROM duckdb_schemas() WHERE NOT internal
"""
_DIFFERENT: Final = f"""
WITH contents AS ({_CONTENTS}),
     there AS (SELECT name, made FROM contents WHERE home = ?),
     expected AS (SELECT name, made FROM contents WHERE home = '{OUTSIDE}')
SELECT DISTINCT name FROM ((FROM there EXCEPT FROM expected) UNION ALL (FROM expected EXCEPT FROM there))
ORDER BY name
"""


def add_outside(con: duckdb.DuckDBPyConnection, tables: str) -> None:
    """Attach a database in memory that has nothing but these tables, all of them empty."""
    con.execute(f"ATTACH ':memory:' AS {OUTSIDE}")
    with _cursor(con) as outside:
        outside.execute(tables)


@contextmanager
def _cursor(con: duckdb.DuckDBPyConnection) -> Iterator[duckdb.DuckDBPyConnection]:
    outside = con.cursor()
    try:
        outside.execute(f"USE {OUTSIDE}")
        yield outside
    finally:
        outside.close()


@contextmanager
def reading(con: duckdb.DuckDBPyConnection) -> Iterator[duckdb.DuckDBPyConnection]:
    """Give a cursor that reads everything as of one moment."""
    with _cursor(con) as outside:
        outside.execute("BEGIN")
        yield outside
        outside.execute("ROLLBACK")


def file_in(outside: duckdb.DuckDBPyConnection) -> str:
    """Return the name by which the file is attached."""
    [(name,)] = outside.execute(_FILE).fetchall()
    return str(name)


def foreign(outside: duckdb.DuckDBPyConnection) -> list[str]:
    """Return what the file has besides the tables of this release, or lacks of them."""
    return [name for (name,) in outside.execute(_DIFFERENT, [file_in(outside)]).fetchall()]
