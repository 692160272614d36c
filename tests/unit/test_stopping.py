"""`helix down` needs nothing but the name of the data directory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from launcher.up.cli import EXIT_USAGE, main


def test_a_wrong_setting_keeps_nobody_from_stopping_a_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The data directory alone is read, from its flag or its variable; an empty name is refused."""
    monkeypatch.setenv("HELIX_PORT", "abc")
    monkeypatch.setenv("HELIX_DATA_DIR", str(tmp_path))
    assert main(["--down"]) == 0
    assert capsys.readouterr().err == f"nothing is running on {tmp_path}\n"
    monkeypatch.setenv("HELIX_DATA_DIR", "")
    assert main(["--down"]) == EXIT_USAGE
    assert capsys.readouterr().err == "helix down: HELIX_DATA_DIR must name a folder\n"


def test_stopping_loads_nothing_that_reads_settings() -> None:
    """Their modules take a quarter of a second of processor time."""
    program = "import sys, launcher.up.cli; print([*{'pydantic', 'helix_ray.config'} & {*sys.modules}])"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"
