"""Inputs of a model on the command line: by name, as JSON, or in files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import orjson
import pytest
import typer

from helix_ray.cli import model_run, spec
from helix_ray.cli.output import print_json


@pytest.mark.parametrize("name", ["input_ids", "input.1", "input_1:0", "onnx::Gemm_0", "x-y"])
def test_inputs_have_the_names_that_exporters_give(name: str) -> None:
    """PyTorch, Keras and TensorFlow name inputs as no programming language would."""
    assert spec.model_inputs([f"{name}=[[1,2]]"]) == {name: [[1, 2]]}


@pytest.mark.parametrize("text", ['"a=b"', '["a=b"]', '{"x": "a=b"}', "-1", "true"])
def test_a_value_is_no_name(text: str) -> None:
    """JSON that has an equals sign in it is still the only input."""
    assert spec.model_inputs([text]) == orjson.loads(text)


def test_an_error_names_the_option_that_was_given() -> None:
    """`task submit` and `model run` call it otherwise."""
    for option in ("--input", "--inputs"):
        with pytest.raises(typer.BadParameter, match=f"^{option}: several inputs must be given by name"):
            spec.model_inputs(["[1]", "[2]"], option)


def test_files_that_only_data_sets_have_are_uploaded(tmp_path: Path) -> None:
    """However small an .npz is, it is no JSON; a small array goes with the request."""
    np.savez(tmp_path / "two.npz", a=np.zeros(1), b=np.zeros(1))
    np.save(tmp_path / "small.npy", np.zeros(1))
    np.save(tmp_path / "large.npy", np.zeros(40_000))
    uploaded = {path.name: model_run._is_data_set([str(path)]) for path in tmp_path.iterdir()}
    assert uploaded == {"two.npz": True, "small.npy": False, "large.npy": True}
    assert not model_run._is_data_set([str(tmp_path / "gone.npz")])


def test_lists_of_numbers_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Ten logits are not ten lines; texts that look like a list stay as they are."""
    value = {"y": [[0.5, -1e-07], [None, True]], "text": "[\n  1,\n  2\n]", "names": ["a"], "none": []}
    print_json(value)
    printed = capsys.readouterr().out
    assert orjson.loads(printed) == value
    assert "    [0.5, -1e-7],\n    [null, true]\n" in printed
    assert '    "a"\n' in printed
