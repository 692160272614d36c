"""The parts of the GPU benchmark that need no GPU: what it says without one, what it reads, and its model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from benchmarks import gpu, gpu_load
from benchmarks.made_transformer import transformer
from benchmarks.report import Line, Series
from benchmarks.scale import QUICK
from helix_ray.inference.providers import CPU, CUDA


def program(folder: Path, text: str) -> None:
    """Put a program in the place of nvidia-smi."""
    file = folder / "nvidia-smi"
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)


def test_a_machine_without_a_gpu_is_said_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where nvidia-smi is there, and finds none."""
    monkeypatch.setenv("PATH", str(tmp_path))
    for _ in range(2):
        report = gpu.run(QUICK)
        assert (report.lines, report.notes) == ((), (gpu.NO_GPU,))
        program(tmp_path, "echo No devices were found; exit 9")


def test_what_nvidia_smi_says_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line for each GPU."""
    monkeypatch.setenv("PATH", str(tmp_path))
    program(tmp_path, 'echo "NVIDIA H100 80GB HBM3"; echo "NVIDIA H100 80GB HBM3 "; echo')
    assert gpu.smi("name") == ["NVIDIA H100 80GB HBM3"] * 2


def test_what_goes_wrong_in_a_part_is_a_note() -> None:
    """The others go on."""
    line = Line("x", Series("", "s", (1.0,)))
    assert gpu.guarded("fine", lambda: ([line], ["said"])) == ([line], ["said"])
    failed = gpu.guarded("odd", lambda: 1 / 0)  # type: ignore[arg-type,return-value]
    assert failed == ([], ["odd: failed: ZeroDivisionError: division by zero"])


def test_the_made_transformer_runs() -> None:
    """It is a valid model, of any number of rows, and finite."""
    made = transformer(layers=2, hidden=24, heads=3, tokens=5)
    onnx.checker.check_model(made)
    session = onnxruntime.InferenceSession(made.SerializeToString(), providers=[CPU])
    x = np.random.default_rng(1).standard_normal((3, 5, 24)).astype(np.float32)
    (y,) = session.run(None, {"x": x})
    assert y.shape == x.shape
    assert np.isfinite(y).all()
    assert np.allclose(session.run(None, {"x": x[1:2]})[0], y[1:2], atol=1e-5)


def test_choices_of_devices_are_shown_beside_fp32() -> None:
    """Not those of the CPU, nor those that only tasks get which ask for them."""
    choice: dict[str, Any] = {
        "batch": 1024, "variant": "fp16", "provider": CUDA, "threads": 1, "ratio": 2.0, "low": 1.9,
        "high": 2.1, "items_per_s": 100.0,
    }  # fmt: skip
    choices = [choice, {**choice, "provider": CPU}, {**choice, "only_by_name": True}]
    report: Any = {"node_class": "c", "machine": {}, "rows": [], "choices": choices}
    (line,) = gpu.tuning_lines("digits", report)
    assert line.what == "digits, batch 1024: fp16 (1.90..2.10) on CUDAExecutionProvider"
    assert line.ratio == 2.0


def test_all_that_was_tried_on_a_device_is_said() -> None:
    """A ratio, or why there is none; FP32 is what the ratios are to."""
    fp32: Any = {"variant": "fp32", "provider": CUDA, "batch": 1, "ratio": 1.0, "why_not": None}
    graph = {**fp32, "cuda_graph": True, "ratio": 3.0}
    failed = {**fp32, "variant": "fp16", "ratio": None, "why_not": "not finite"}
    (note,) = gpu.ratios("digits", [fp32, graph, failed, {**graph, "provider": CPU}])
    said = "fp32 with CUDA graphs 3.00, fp16 (not finite)"
    assert note == f"digits, batch 1, {CUDA}, ratio to FP32: {said}"


def test_a_load_counts_its_rows_and_does_not_fall_back() -> None:
    """What the device's provider cannot do is an error."""
    assert gpu_load.main(CPU, 4, 0.01) > 0
