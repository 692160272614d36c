"""What a process loads stays in its memory: actors at rest have nothing in it that they do not use."""

from __future__ import annotations

import subprocess
import sys

HEAVY = "('numpy', 'onnxruntime', 'fastapi', 'starlette', 'uvicorn', 'ray.serve', 'cryptography', 'httpx')"
# DuckDB is the historian's alone, which comes last.
SCRIPT = f"""
import sys
import actors.executor, actors.master, actors.node_worker, actors.supervisor
print([name for name in ('duckdb', *{HEAVY}) if name in sys.modules])
import actors.historian
print([name for name in {HEAVY} if name in sys.modules])
"""


def test_actors_load_only_what_they_use_at_rest() -> None:
    """The modules of all actors, in one fresh process: no NumPy, no HTTP, no Serve, and DuckDB with the historian only."""
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, timeout=60
    )
    assert ran.stdout.split("\n") == ["[]", "[]", ""]
