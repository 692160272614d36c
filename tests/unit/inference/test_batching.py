"""Small inferences of one model run as one batch: each gets its own rows, or its own error."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from helix_ray.digits import as_rows, held_out
from helix_ray.inference.batching import infer_together
from helix_ray.inference.errors import InferenceRefused
from helix_ray.inference.onnx import ModelStore
from helix_ray.inference.running import infer

DIGITS = as_rows(held_out()[0])
STORE = ModelStore()
MODEL = "digits_transformer"


def run_of(rows: Any, batch_size: int = 16, **more: Any) -> dict[str, Any]:
    return {"kind": "inference", "model": MODEL, "inputs": rows, "batch_size": batch_size, **more}


def test_one_malformed_among_sixteen() -> None:
    """Fifteen right answers, and one error that says what is wrong with that one."""
    runs = [run_of(DIGITS[index : index + 1].tolist()) for index in range(16)]
    runs[7] = run_of([[[0.0] * 8] * 7])
    ended = infer_together(STORE, runs)
    refused = ended[7]
    assert isinstance(refused, InferenceRefused)
    assert "expects [rows, 8, 8], not [1, 7, 8]" in str(refused)
    for index, each in enumerate(ended):
        if index != 7:
            assert not isinstance(each, InferenceRefused)
            alone = infer(STORE, runs[index])
            assert np.allclose(each["outputs"]["logits"], alone["outputs"]["logits"], atol=1e-4)
            assert (each["rows"], each["batch"], each["shapes"]) == (1, 15, {"logits": [1, 10]})


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=9), st.integers(2, 12))
def test_everybody_gets_their_own_rows(sizes: list[int], batch_size: int) -> None:
    """Whatever the tasks have, and however they fit into batches; none is larger than asked for."""
    starts = [sum(sizes[:index]) for index in range(len(sizes))]
    rows = [DIGITS[start : start + size] for start, size in zip(starts, sizes, strict=True)]
    ended = infer_together(STORE, [run_of(each.tolist(), batch_size) for each in rows])
    every = infer(STORE, run_of(DIGITS[: sum(sizes)].tolist(), 64))["outputs"]["logits"]
    assert len(ended) == len(sizes)
    for each, start, size in zip(ended, starts, sizes, strict=True):
        assert not isinstance(each, InferenceRefused)
        assert np.allclose(each["outputs"]["logits"], every[start : start + size], atol=1e-4)
        assert (each["rows"], (each["batch"] or 0) <= batch_size) == (size, True)


def test_a_model_that_is_not_there_is_said_to_everybody() -> None:
    """Each task has the error that it would have alone."""
    ended = infer_together(STORE, [run_of([[1]]) | {"model": "none"} for _ in range(3)])
    assert ["does not exist" in str(each) for each in ended] == [True] * 3


def test_forms_of_outputs_are_each_tasks_own() -> None:
    """Whether a task wants JSON or a file does not matter to the batch."""
    rows = DIGITS[:1].tolist()
    as_json, as_file = infer_together(STORE, [run_of(rows), run_of(rows, output="npy")])
    assert not isinstance(as_json, InferenceRefused)
    assert not isinstance(as_file, InferenceRefused)
    assert ("outputs" in as_json, "files" in as_file) == (True, True)
