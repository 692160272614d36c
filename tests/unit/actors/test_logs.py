"""What a process of the cluster logs reaches the stream that it began with."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import io, logging, sys
sys.stderr = io.StringIO()  # as Serve does in a replica
from actors import logs
logs.set_up()
logging.getLogger("serve_app.edge.errors").error("request req-1 failed")
"""


def test_what_a_replica_logs_is_not_lost() -> None:
    """Serve replaces sys.stderr by something that drops what it gets; errors are written all the same."""
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=200, check=True
    )
    assert "ERROR serve_app.edge.errors request req-1 failed" in ended.stderr
