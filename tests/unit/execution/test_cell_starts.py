"""A cell whose start fails is started again: its attempt has not begun."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from helix_ray.execution.assignment import Outcome
from helix_ray.execution.starter.lane import CELL_STARTS_MAX
from helix_ray.execution.starter.levels import Wanted
from tests.unit.execution.starter_end import StarterEnd, needs

FAILING = """#!/bin/sh
left=$(cat {fails})
[ "$left" = 0 ] || {{ echo $((left - 1)) > {fails}; echo "bwrap: Can't remount readonly" >&2; exit 1; }}
exec {program} "$@"
"""


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A short path, for the sockets below it."""
    made = Path(tempfile.mkdtemp(prefix="hx-"))
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def starter(folder: Path) -> Iterator[StarterEnd]:
    """A starter whose bubblewrap fails as often as `fails` says."""
    needs("namespaces")
    program, fails = folder / "bin" / "bwrap", folder / "fails"
    fails.write_text("0")
    program.parent.mkdir()
    program.write_text(FAILING.format(fails=fails, program=shutil.which("bwrap")))
    program.chmod(0o755)
    path = f"{program.parent}:{os.environ['PATH']}"
    end = StarterEnd(folder, Wanted("namespaces"), PATH=path)
    yield end
    end.close()


@pytest.fixture(scope="module", params=[1, CELL_STARTS_MAX - 1, CELL_STARTS_MAX])
def failed(request: pytest.FixtureRequest, starter: StarterEnd, folder: Path) -> tuple[int, Outcome]:
    """How often the start failed before a command ran in a slot of its own, and what became of it."""
    (folder / "fails").write_text(str(request.param))
    outcome = starter.run({"argv": ["echo", "ran"]}, slot=f"slot-{request.param}")
    return request.param, outcome


def test_an_attempt_is_lost_only_where_no_cell_can_be_started(failed: tuple[int, Outcome]) -> None:
    """It runs in the first cell that can be started; after CELL_STARTS_MAX the node cannot start one."""
    times, outcome = failed
    if times < CELL_STARTS_MAX:
        assert (outcome.ok, outcome.output_tail) == (True, "ran\n")
    else:
        assert outcome.error is not None
        assert outcome.error.reason == "lost"
        assert "no cell could be started for it: bwrap: Can't remount readonly" in outcome.error.message
