"""Throughput under many connections by wrk (Debian's package): written in C, it leaves
the cores to the server.

Where wrk is not installed, load.py does the same at several times the CPU; the report says which it was.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load import Unexpected, side_by_side

CONNECTIONS = 64
BATCH_REQUESTS = 500  # what load.py sends between two looks at the clock

SCRIPT = """
local requests = {}
local file = assert(io.open("%s", "rb"))
for size in file:lines() do
  requests[#requests + 1] = file:read(tonumber(size))
  file:read(1)
end
file:close()
local next = 0
request = function()
  next = next %% #requests + 1
  return requests[next]
end
done = function(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format("RESULT %%d %%d %%d\\n", summary.requests, summary.duration,
    errors.status + errors.connect + errors.read + errors.write + errors.timeout))
end
"""


def installed() -> bool:
    """Say whether wrk can be used."""
    return shutil.which("wrk") is not None


def generator() -> str:
    """Return which load generator stands behind `load`, for the report."""
    name = "wrk, one thread" if installed() else "benchmarks/load.py (wrk is not installed: it costs a core)"
    return f"{CONNECTIONS} connections by {name}"


@dataclass(frozen=True, slots=True)
class Loaded:
    """How many requests were answered in how many seconds."""

    requests: int
    seconds: float

    @property
    def per_s(self) -> float:
        """Return answers a second."""
        return self.requests / self.seconds


def load(port: int, requests: Sequence[bytes], seconds: float) -> Loaded:
    """Send requests over CONNECTIONS connections, starting over at the end.

    Raises Unexpected when an answer was an error.
    """
    if not installed():
        return _without_wrk(port, requests, seconds)
    with tempfile.TemporaryDirectory(prefix="helix-wrk-") as folder:
        script = _script(Path(folder), requests)
        command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}s", "--timeout", "30s"]
        address = f"http://127.0.0.1:{port}/"
        done = subprocess.run(
            [*command, "-s", str(script), address], capture_output=True, text=True, check=True
        )
    found = re.search(r"RESULT (\d+) (\d+) (\d+)", done.stdout)
    if found is None:
        raise Unexpected(f"wrk said: {done.stdout[-400:]} {done.stderr[-400:]}")
    count, microseconds, errors = (int(text) for text in found.groups())
    if errors:
        raise Unexpected(f"{errors} of {count} requests failed: {done.stdout[-400:]}")
    return Loaded(count, microseconds / 1e6)


def _script(folder: Path, requests: Sequence[bytes]) -> Path:
    """Write the requests, each behind a line with its size, and the script that sends them."""
    data = folder / "requests"
    data.write_bytes(b"".join(b"%d\n%s\n" % (len(each), each) for each in requests))
    script = folder / "requests.lua"
    script.write_text(SCRIPT % data)
    return script


def _without_wrk(port: int, requests: Sequence[bytes], seconds: float) -> Loaded:
    started = time.perf_counter()
    count = 0
    while time.perf_counter() - started < seconds:
        batch = [requests[(count + i) % len(requests)] for i in range(BATCH_REQUESTS)]
        count += len(side_by_side(port, batch, CONNECTIONS))
    return Loaded(count, time.perf_counter() - started)
