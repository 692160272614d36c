"""The benchmarks that need no cluster run, with small counts: that they still can,
not how fast anything is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
NAMES = ("placement", "queueing", "reserving", "explain", "sync")
RUN_S_MAX = 280


def test_benchmarks_print_a_table_and_keep_their_figures(tmp_path: Path) -> None:
    """Each has figures above zero in the table and in the JSON."""
    kept = tmp_path / "figures.json"
    command = [sys.executable, "-m", "benchmarks", *NAMES, "--quick", "--json", str(kept)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=RUN_S_MAX)
    assert ended.returncode == 0, ended.stderr
    reports = json.loads(kept.read_text())["benchmarks"]
    assert [report["name"] for report in reports] == [*NAMES]
    for report in reports:
        assert f"{report['name']}: {report['title']}" in ended.stdout
        assert any(line["ours"]["median"] > 0 for line in report["lines"])
