"""A disk whose syncs fail: nothing is acknowledged that is not there afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
SYNCS_MIN = 10


def test_whichever_sync_fails(tmp_path: Path, require: Callable[[str], str]) -> None:
    """Every sync of a start, of appends, of HEAD and of a snapshot fails in turn, and all that follow it: an
    append that returned is found by the next start, one that raised may be, and the tree fits."""
    shim = tmp_path / "failing_sync.so"
    source = HERE / "failing_sync.c"
    subprocess.run([require("gcc"), "-shared", "-fPIC", "-o", shim, source, "-ldl"], check=True)
    done = subprocess.run(
        [sys.executable, HERE / "failing_sync.py", tmp_path],
        env={**os.environ, "LD_PRELOAD": str(shim), "PYTHONPATH": str(HERE.parents[2])},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= SYNCS_MIN
