"""The example that turns a picture and a text into tensors makes a data set that a model reads."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from helix_ray.digits import PIXEL_MAX, held_out
from helix_ray.inference.onnx import ModelStore
from helix_ray.inference.running import Part, infer
from helix_ray.inference.sources import Sources

EXAMPLE = Path(__file__).parents[3] / "examples" / "tensors.py"


def test_a_picture_and_a_text_become_a_data_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The digit in the picture is recognised; equal words have equal numbers."""
    images, labels = held_out()
    pixels = (images[0] / PIXEL_MAX * 255).astype(np.uint8)
    (tmp_path / "digit.pgm").write_bytes(b"P5 8 8 255\n" + pixels.tobytes())
    out = tmp_path / "inputs.npz"
    monkeypatch.setattr(sys, "argv", ["tensors", str(tmp_path / "digit.pgm"), "a rose is a Rose", str(out)])
    runpy.run_path(str(EXAMPLE), run_name="__main__")
    assert "image (1, 1, 32, 32), tokens (1, 16)" in capsys.readouterr().out
    sources = Sources(folders=(str(tmp_path),))
    run = {"kind": "inference", "model": "digits_resnet20", "input_uri": f"file://{out}"}
    result = infer(ModelStore(), run, Part(sources=sources))
    assert int(np.argmax(result["outputs"]["logits"][0])) == labels[0]
    a, rose, verb, again, too, *rest = np.load(out)["tokens"][0].tolist()
    assert (a, rose) == (again, too)
    assert len({a, rose, verb, 0}) == 4
    assert set(rest) == {0}
