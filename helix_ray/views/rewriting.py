"""Writing the history's file anew: rows that were deleted because their facts were erased are still in its
blocks until then, and in files that were set aside."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import duckdb

from helix_ray.derived import ASIDE_SUFFIX
from helix_ray.durable import sync
from helix_ray.views.file import MEMORY_MAX, THREADS, quoted

_DRAFT = ".{}.anew"


def write_anew(path: Path) -> None:
    """Put a file with the rows of this one in its place, which nobody may have open; a kill
    leaves one or the other."""
    draft = path.with_name(_DRAFT.format(path.name))
    draft.unlink(missing_ok=True)
    try:
        with duckdb.connect(":memory:", config={"memory_limit": MEMORY_MAX, "threads": THREADS}) as con:
            con.execute(f"ATTACH '{quoted(path)}' AS old (READ_ONLY)")
            con.execute(f"ATTACH '{quoted(draft)}' AS anew")
            con.execute("COPY FROM DATABASE old TO anew")
            con.execute("DELETE FROM anew.erased")
            con.execute("DETACH anew")
            con.execute("DETACH old")
        draft.chmod(0o600)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    sync(path.parent)
    _remove_set_aside(path)


def _remove_set_aside(path: Path) -> None:
    """Damaged files of before have the rows, too."""
    for aside in path.parent.glob(f"{path.name}{ASIDE_SUFFIX}-*"):
        with contextlib.suppress(OSError):
            shutil.rmtree(aside) if aside.is_dir() else aside.unlink()
