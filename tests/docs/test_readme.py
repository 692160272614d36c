"""The README is short, and its code runs as it stands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.conftest import free_port

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
LINES_MAX = 120
RUN_S_MAX = 280
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MAKE = re.compile(r"^make (\w+)", re.MULTILINE)


def blocks(language: str) -> list[str]:
    """Return the code blocks of one language, in order."""
    return [code for found, code in BLOCK.findall(README.read_text()) if found == language]


def run_whole(command: list[str], folder: Path, environment: dict[str, str]) -> tuple[int, str]:
    """Run a program in a folder and return its exit code and what it printed; no server
    of its home outlives it."""
    # A file, not a pipe: what `helix up --detach` leaves running must not keep us waiting.
    with (folder / "output").open("w+") as output:
        try:
            done = subprocess.run(
                command,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                timeout=RUN_S_MAX,
                check=False,
            )
        finally:
            subprocess.run([sys.executable, "-m", "launcher.up", "--down"], env=environment, check=True)
        output.seek(0)
        return done.returncode, output.read()


def test_the_readme_is_one_screen() -> None:
    """A newcomer reads it whole."""
    assert len(README.read_text().splitlines()) <= LINES_MAX


def test_make_targets_of_the_readme_exist() -> None:
    """`make setup` has made the environment that this runs in; others are named in the text."""
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    text = README.read_text()
    named = set(MAKE.findall(text)) | set(re.findall(r"`make (\w+)`", text))
    assert "setup" in named
    assert named <= set(targets)


def test_the_code_runs_as_it_stands(tmp_path: Path, require: Callable[[str], str]) -> None:
    """From `helix up` to `helix down`, in one shell and an empty home; only the port and the
    place of .venv are ours."""
    require("curl")
    (program,) = blocks("python")
    (tmp_path / "job.py").write_text(program)
    code = "\n".join(blocks("sh"))
    assert "8080" in code
    code = MAKE.sub("true", code).replace("8080", str(port := free_port()))
    code = code.replace(".venv/bin/", f"{Path(sys.executable).parent}/")
    script = tmp_path / "readme.sh"
    script.write_text(f"set -euxo pipefail\n{code}")
    environment = {**os.environ, "HOME": str(tmp_path), "HELIX_PORT": str(port)}
    done, printed = run_whole(["bash", str(script)], tmp_path, environment)
    assert done == 0, printed
    assert f"ready http://127.0.0.1:{port}" in printed
    for result in ("78498", "hello from Linux", '"status":"pending"', "49 [0, 1, 4, 9, 16]"):
        assert result in printed, printed
    assert not (tmp_path / ".helix-ray" / "up.json").exists(), printed


def test_the_demonstration_goes_right() -> None:
    """`make demo` checks its own results, and that no process is left: exit code 0 says all of it."""
    demo = [sys.executable, str(ROOT / "examples" / "demo.py")]
    done = subprocess.run(demo, capture_output=True, text=True, timeout=RUN_S_MAX, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "no process is left" in done.stdout
