"""Plug-in wheels that are installed but of no use, each in a process of its own: registering lasts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import warnings
from helix_ray.inference.errors import ProviderNotUsed
from helix_ray.inference.onnx import DEFAULT_ROOT
from helix_ray.inference.providers import find_providers
from helix_ray.inference.sessions import SessionPlan, open_session
found = {each.name: each for each in find_providers()}
print(found["OpenVINOExecutionProvider"].reason)
assert found["CPUExecutionProvider"].reason is None
try:
    open_session("digits", DEFAULT_ROOT / "digits_resnet20.onnx", SessionPlan("OpenVINOExecutionProvider"))
except ProviderNotUsed as error:
    print(error)
open_session("digits", DEFAULT_ROOT / "digits_resnet20.onnx", SessionPlan())
"""


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("def get_library_path(): return '/nonexistent/lib.so'", "cannot be registered: "),
        (f"def get_library_path(): return {__file__!r}", "cannot be registered: "),
        ("raise ImportError('libtbb.so.12 is missing')", "libtbb.so.12 is missing"),
    ],
)
def test_a_broken_plugin_ends_nothing(tmp_path: Path, module: str, words: str) -> None:
    """Its reason is kept; asking for it is refused with that reason, and the CPU goes on."""
    package = tmp_path / "onnxruntime_ep_openvino"
    package.mkdir()
    (package / "__init__.py").write_text(module)
    root = Path(__file__).parents[3]
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{root}"}
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, timeout=200
    )
    assert ended.returncode == 0, ended.stderr
    reason, refusal = ended.stdout.strip().split("\n", 1)
    assert reason.startswith("onnxruntime-ep-openvino cannot be registered: ")
    assert words in reason
    assert refusal.startswith(
        "model 'digits' was to run on OpenVINOExecutionProvider: onnxruntime-ep-openvino"
    )
