"""The child process: its limits, what it sees, and how its end is put into words."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from helix_ray.inference.child import Child, ChildLimits
from helix_ray.inference.variants import ChildJob, Message
from tests.unit.inference import onnx_models as models

LIMITS = {"memory_mb": 512, "time_s": 30.0, "cpu_s": 30.0, "file_bytes_max": 2**26}


def job(folder: Path, model: Any) -> ChildJob:
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    return {
        "folder": str(folder), "memory_mb": 512, "bounds": {}, "variants": [], "admitted": None,
        "data": "synthetic", "calibration": None, "heldout": None,
    }  # fmt: skip


def ended(folder: Path, model: Any, **limits: Any) -> tuple[list[Message], str | None]:
    with Child(job(folder, model), ChildLimits(**(LIMITS | limits)), folder) as child:
        return list(child.messages()), child.reason()


def test_a_whole_run(tmp_path: Path) -> None:
    """A child that finishes has no reason, and told what it found."""
    messages, reason = ended(tmp_path, models.linear())
    assert reason is None
    assert messages[0] == {"step": "admission"}
    assert messages[1]["admitted"]["batch"] == "dynamic"


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({"time_s": 1.5}, "time above 1.5 s"),
        ({"cpu_s": 1.0}, "CPU time above 1 s"),
    ],
)
def test_limits(tmp_path: Path, limits: dict[str, float], expected: str) -> None:
    """A limit that is broken ends the child, and is named."""
    assert ended(tmp_path, models.endless(), **limits)[1] == expected


def test_a_signal_from_outside(tmp_path: Path) -> None:
    """Whoever kills the child, it is said with what."""
    with Child(job(tmp_path, models.endless()), ChildLimits(**LIMITS), tmp_path) as child:
        assert next(child.messages()) == {"step": "admission"}
        os.kill(child.pid, signal.SIGKILL)
        assert list(child.messages()) == []
        assert child.reason() == "signal 9"


def test_it_cannot_raise_its_limits_and_sees_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel holds the limits and forbids privileges; the environment has nothing of ours but a path."""
    monkeypatch.setenv("HELIX_SECRET_KEY", "do not pass me on")
    with Child(job(tmp_path, models.endless()), ChildLimits(**LIMITS), tmp_path) as child:
        assert next(child.messages()) == {"step": "admission"}
        process = Path(f"/proc/{child.pid}")
        limits = process.joinpath("limits").read_text()
        assert "NoNewPrivs:\t1" in process.joinpath("status").read_text()
        assert b"do not pass me on" not in process.joinpath("environ").read_bytes()
        open_files = [os.readlink(each) for each in process.joinpath("fd").iterdir()]
    assert f"{512 * 2**20}" in next(line for line in limits.splitlines() if line.startswith("Max data size"))
    assert "35" in next(line for line in limits.splitlines() if line.startswith("Max cpu time"))
    assert "     0 " in next(line for line in limits.splitlines() if line.startswith("Max core file size"))
    assert not any("socket" in each for each in open_files)


def test_leaving_ends_it(tmp_path: Path) -> None:
    """Leaving the block, as a cancelled attempt does, ends the child at once."""
    with Child(job(tmp_path, models.endless()), ChildLimits(**LIMITS), tmp_path) as child:
        assert next(child.messages()) == {"step": "admission"}
        pid, began = child.pid, time.monotonic()
    assert not Path(f"/proc/{pid}").exists()
    assert time.monotonic() - began < LIMITS["time_s"] / 2
