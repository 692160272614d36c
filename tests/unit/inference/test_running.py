"""Inferences run in batches over rows: the same numbers come out, in order, in every form."""

from __future__ import annotations

import io
import json
from base64 import b64decode, b64encode
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from helix_ray.core.gathering import joined
from helix_ray.core.model_choice import FILE_BATCH_ROWS
from helix_ray.core.model_inputs import split
from helix_ray.core.model_records import ModelFiles
from helix_ray.digits import as_rows, held_out
from helix_ray.inference.errors import BadInput, InferenceRefused
from helix_ray.inference.not_finite import OF_FP32, OF_INPUTS, OF_OTHERS, NotFiniteRows
from helix_ray.inference.onnx import ModelStore
from helix_ray.inference.outputs import arrays_of
from helix_ray.inference.running import Part, infer
from helix_ray.inference.sources import Sources

DIGITS = as_rows(held_out()[0])
Model = Callable[..., ModelStore]


@pytest.fixture(scope="module")
def digits() -> ModelStore:
    return ModelStore()


@pytest.fixture(scope="module")
def twice(tmp_path_factory: pytest.TempPathFactory) -> ModelStore:
    """Models that double their input: `any` of any batch, `four` of a batch of 4, `sum` without rows, `ab`
    with two inputs and outputs."""
    folder = tmp_path_factory.mktemp("models")
    for name, batch in (("any", "n"), ("four", 4)):
        save(folder, name, [helper.make_node("Add", ["x", "x"], ["y"])], {"x": [batch, 2]}, {"y": [batch, 2]})
    total = helper.make_node("ReduceSum", ["x"], ["y"], keepdims=0)
    save(folder, "sum", [total], {"x": ["n", 2]}, {"y": []})
    nodes = [helper.make_node("Add", ["a", "a"], ["p"]), helper.make_node("Neg", ["b"], ["q"])]
    save(folder, "ab", nodes, {"a": ["n", 2, 2], "b": ["m"]}, {"p": ["n", 2, 2], "q": ["m"]})
    save(folder, "scalar", [helper.make_node("Add", ["x", "x"], ["y"])], {"x": []}, {"y": []})
    return ModelStore(folder)


def save(
    folder: Path, name: str, nodes: Any, inputs: dict[str, Any], outputs: dict[str, Any], constants: Any = ()
) -> None:
    def values(shapes: dict[str, Any]) -> Any:
        return [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n, shape in shapes.items()]

    graph = helper.make_graph(nodes, name, values(inputs), values(outputs), [*constants])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / f"{name}.onnx")


def npy(array: Any) -> dict[str, str]:
    file = io.BytesIO()
    np.save(file, array)
    return {"npy_base64": b64encode(file.getvalue()).decode()}


def run_of(model: str, inputs: Any = None, **more: Any) -> dict[str, Any]:
    given = {} if inputs is None else {"inputs": inputs}
    return {"kind": "inference", "model": model, **given, **more}


def test_the_answer_says_how_it_ran(digits: ModelStore) -> None:
    """Model, variant, provider, arithmetic, rows, batch and milliseconds."""
    result = infer(digits, run_of("digits_transformer", npy(DIGITS[:10]), batch_size=4))
    told = {name: result[name] for name in ("model", "version", "variant", "arithmetic", "provider", "batch")}
    assert told == {
        "model": "digits_transformer",
        "version": None,
        "variant": "fp32",
        "arithmetic": "FP32",
        "provider": "CPUExecutionProvider",
        "batch": 4,
    }
    assert (result["rows"], result["shapes"]) == (10, {"logits": [10, 10]})
    assert result["duration_ms"] > 0
    whole = infer(digits, run_of("digits_transformer", npy(DIGITS[:10])))
    assert (whole["batch"], whole["rows"]) == (10, 10)
    assert np.allclose(whole["outputs"]["logits"], result["outputs"]["logits"], atol=1e-4)


@pytest.mark.parametrize("form", ["json", "npy", "parquet", "jsonl"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=8, deadline=None)
@given(data=st.data(), rows=st.integers(1, 30))
def test_order_is_kept_for_any_rows_shards_and_batches(
    twice: ModelStore, form: str, data: st.DataObject, rows: int
) -> None:
    """Inputs split into shards, run in batches and gathered are what one run gives, in every form."""
    # Each Parquet file costs a database.
    count = data.draw(st.integers(1, min(rows, 3) if form == "parquet" else rows))
    x = np.arange(rows * 4, dtype=np.float32).reshape(rows, 2, 2)
    inputs = {"a": npy(x), "b": [float(number) for number in range(rows)]}
    parts = []
    for index, own in enumerate(split(inputs, count)):
        batch = data.draw(st.integers(1, 40))
        run = run_of("ab", own, batch_size=batch, output=form)
        parts.append(infer(twice, run, Part(shard=(index, count))))
    whole = joined(parts)
    assert whole is not None
    assert (whole["rows"], whole["precisions"]) == (rows, {"fp32": rows})
    arrays = arrays_of(whole)
    assert arrays["p"].tolist() == (2 * x).tolist()
    assert arrays["q"].tolist() == [-float(number) for number in range(rows)]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(rows=st.integers(0, 12), count=st.integers(1, 15))
def test_shards_of_a_data_set_are_all_its_rows(
    twice: ModelStore, tmp_path: Path, rows: int, count: int
) -> None:
    """Each takes its contiguous range; one without rows has none."""
    x = np.arange(rows * 2, dtype=np.float32).reshape(rows, 2)
    np.save(tmp_path / "x.npy", x)
    digest = "ab" * 32
    sources = Sources(files={digest: tmp_path / "x.npy"})
    run = run_of("any", dataset=digest, batch_size=3, output="npy")
    parts = [infer(twice, run, Part(shard=(index, count), sources=sources)) for index in range(count)]
    whole = joined(parts)
    assert whole is not None
    assert arrays_of(whole)["y"].tolist() == (2 * x).tolist()


def test_a_fixed_batch_is_filled_up(twice: ModelStore) -> None:
    """A model of 4 rows runs 6 as two batches, the last one filled up; the size that is asked for is not
    possible, and the answer says which it was."""
    result = infer(twice, run_of("four", [[float(i), 1.0] for i in range(6)], batch_size=5))
    assert result["outputs"]["y"] == [[2.0 * i, 2.0] for i in range(6)]
    assert (result["batch"], result["rows"]) == (4, 6)
    with pytest.raises(BadInput, match=r"expects \[4, 2\], not \[6, 2\]"):
        infer(twice, run_of("four", [[0.0, 1.0]] * 6))


def test_files_are_read_in_batches_of_their_own(twice: ModelStore, tmp_path: Path) -> None:
    """Without a batch size as well; progress counts rows."""
    np.save(tmp_path / "x.npy", np.ones((FILE_BATCH_ROWS + 3, 2), np.float32))
    steps: list[tuple[int, int]] = []
    sources = Sources(folders=(str(tmp_path),))
    part = Part(sources=sources, advance=lambda done, total: steps.append((done, total)))
    result = infer(twice, run_of("any", input_uri=f"file://{tmp_path}/x.npy"), part)
    assert (result["batch"], result["rows"]) == (FILE_BATCH_ROWS, FILE_BATCH_ROWS + 3)
    assert steps == [(0, 35), (32, 35), (35, 35)]


def test_it_can_be_ended_between_batches(twice: ModelStore) -> None:
    """What the caller raises ends the run; no further batch is run."""
    done: list[int] = []

    def advance(rows: int, total: int) -> None:
        done.append(rows)
        if rows == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        infer(twice, run_of("any", [[0.0, 1.0]] * 6, batch_size=2), Part(advance=advance))
    assert done == [0, 2]


def test_models_without_rows_run_at_once_only(twice: ModelStore) -> None:
    """Outputs or inputs that have no row for each input cannot be split; the message says which."""
    rows = [[1.0, 2.0]] * 4
    whole = infer(twice, run_of("sum", rows))
    assert (whole["outputs"], whole["rows"], whole["batch"]) == ({"y": 12.0}, None, None)
    with pytest.raises(InferenceRefused, match=r"output 'y' has shape \[\] for 2 rows"):
        infer(twice, run_of("sum", rows, batch_size=2))
    with pytest.raises(InferenceRefused, match="input 'x' has no axis for rows"):
        infer(twice, run_of("scalar", 1.0, batch_size=2))


def test_precisions_that_are_not_there_fail(digits: ModelStore) -> None:
    """A precision is never replaced by another one: the message says which there is."""
    run = run_of("digits_transformer", npy(DIGITS[:2]))
    assert infer(digits, run | {"precision": "fp32"})["variant"] == "fp32"
    for precision in ("int8", "fp16"):
        with pytest.raises(InferenceRefused, match=f"no variant in {precision}: it has fp32"):
            infer(digits, run | {"precision": precision})


def test_numbers_that_json_lacks_fit_into_files(twice: ModelStore) -> None:
    """JSON has no NaN and infinity, .npy and Parquet files have."""
    run = run_of("any", npy(np.array([[np.inf, 1], [np.nan, 2]], np.float32)), batch_size=1)
    assert infer(twice, run)["outputs"]["y"] == [[None, 2.0], [None, 4.0]]
    for form, odd in (("npy", np.inf), ("parquet", np.inf), ("json", np.nan), ("jsonl", np.nan)):
        found = arrays_of(infer(twice, run | {"output": form}))["y"]
        assert np.array_equal(found, [[odd, 2], [np.nan, 4]], equal_nan=True)


def test_rows_that_are_not_finite_are_told(twice: ModelStore) -> None:
    """Which they are, and why: because of their inputs, or of what the model computes with."""
    rows = np.ones((30, 2), np.float32)
    assert "not_finite" not in infer(twice, run_of("any", npy(rows), batch_size=4))
    rows[3:19, 1] = np.nan
    given = infer(twice, run_of("any", npy(rows), batch_size=4))["not_finite"]
    assert given == {
        "rows": 16, "first_rows": [*range(3, 13)], "values": {"y": 16}, "reason": OF_INPUTS,
    }  # fmt: skip
    rows[25] = 3e38  # twice that is too large for FP32
    mixed = infer(twice, run_of("any", npy(rows), batch_size=4))["not_finite"]
    assert (mixed["rows"], mixed["values"]) == (17, {"y": 18})
    assert mixed["reason"].startswith(
        "the inputs of 16 of them hold NaN or infinity; of the others: the model "
    )
    alone = infer(twice, run_of("any", npy(rows[25:26])))["not_finite"]
    assert (alone["rows"], alone["first_rows"]) == (1, [0])
    assert alone["reason"] == OF_FP32


def test_a_variant_with_less_range_is_told() -> None:
    """The reason names it, and what has the range; without rows only values are counted."""
    odd = NotFiniteRows()
    odd.look({"x": np.ones((2, 1))}, {"y": np.array([[1.0], [np.inf]])}, 2)
    told = odd.said("fp16", "FP16")
    assert told is not None
    assert told["reason"] == (OF_OTHERS.format(variant="fp16", arithmetic="FP16"))
    whole = NotFiniteRows()
    whole.look({"x": np.array(1.0)}, {"y": np.array(np.nan)}, None)
    assert whole.said("fp32", "FP32") == {
        "rows": None, "first_rows": [], "values": {"y": 1}, "reason": OF_FP32,
    }  # fmt: skip


def test_files_of_a_result_are_what_others_read(twice: ModelStore) -> None:
    """A .npy is numpy's, lines are JSON with a value for each output."""
    run = run_of("ab", {"a": [[[1, 2], [3, 4]]], "b": [5]}, batch_size=8)
    (p, q) = infer(twice, run | {"output": "npy"})["files"]
    assert (p["name"], q["name"], p["shapes"]) == ("p.npy", "q.npy", {"p": [1, 2, 2]})
    assert np.load(io.BytesIO(b64decode(p["base64"]))).tolist() == [[[2, 4], [6, 8]]]
    (lines,) = infer(twice, run | {"output": "jsonl"})["files"]
    assert json.loads(b64decode(lines["base64"])) == {"p": [[2.0, 4.0], [6.0, 8.0]], "q": -5.0}
    assert lines["bytes"] == len(b64decode(lines["base64"]))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({}, "inputs must be given"),
        ({"dataset": "ab" * 32}, "is not on this node"),
        ({"dataset": "ab"}, "dataset is not valid"),
        ({"input_uri": "file:///etc/passwd"}, "not below a folder that HELIX_INPUT_DIRS allows"),
        ({"input_uri": "http://there/x"}, "input_uri: the server reads no addresses"),
        ({"inputs": [[1, 2]], "batch_size": 0}, "batch_size: must be at least 1, not 0"),
        ({"inputs": [[1, 2]], "output": "csv"}, "output is not valid"),
    ],
)
def test_bad_runs_are_refused(twice: ModelStore, more: dict[str, Any], words: str) -> None:
    """Each names the field that is wrong."""
    with pytest.raises(InferenceRefused, match=words):
        infer(twice, run_of("any", **more))


def test_links_are_followed_before_a_folder_is_compared(twice: ModelStore, tmp_path: Path) -> None:
    """A link inside an allowed folder does not lead out of it."""
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    outside.mkdir(), inside.mkdir()
    np.save(outside / "x.npy", np.ones((1, 2), np.float32))
    (inside / "x.npy").symlink_to(outside / "x.npy")
    part = Part(sources=Sources(folders=(str(inside),)))
    for path in (f"{inside}/x.npy", f"{inside}/../outside/x.npy"):
        with pytest.raises(BadInput, match="HELIX_INPUT_DIRS"):
            infer(twice, run_of("any", input_uri=f"file://{path}"), part)


def version_of(
    folder: Path, choices: list[dict[str, Any]], batch: str = "dynamic"
) -> tuple[ModelFiles, Sources]:
    """Return a version with three variants that can be told apart: they multiply by 2, 3 and 5."""
    variants, files = [], {}
    for name, arithmetic, factor in (("fp32", "FP32", 2), ("int8-static", "INT8", 3), ("fp16", "FP16", 5)):
        nodes = [helper.make_node("Mul", ["x", "k"], ["y"])]
        constant = helper.make_tensor("k", TensorProto.FLOAT, [], [float(factor)])
        save(folder, name, nodes, {"x": ["n", 2]}, {"y": ["n", 2]}, [constant])
        data = (folder / f"{name}.onnx").read_bytes()
        digest = sha256(data).hexdigest()
        files[digest] = folder / f"{name}.onnx"
        variant = {"name": name, "digest": digest, "bytes": len(data), "state": "ready", "reason": None}
        variants.append({**variant, "arithmetic": arithmetic, "gate": None})
    version = {
        "model": "m",
        "version": 3,
        "batch": batch,
        "node_class": "here",
        "variants": variants,
        "choices": choices,
    }
    return cast("ModelFiles", version), Sources(files)


def choice(batch: int, variant: str) -> dict[str, Any]:
    said = {"batch": batch, "variant": variant, "provider": "CPUExecutionProvider", "threads": 1}
    return {**said, "ratio": 1.5, "low": 1.4, "high": 1.6}


@pytest.mark.parametrize(
    ("more", "factor", "variant", "arithmetic"),
    [
        ({"batch_size": 16}, 3, "int8-static", "INT8"),
        ({"batch_size": 40}, 3, "int8-static", "INT8"),
        ({"batch_size": 15}, 2, "fp32", "FP32"),
        ({}, 2, "fp32", "FP32"),
        ({"batch_size": 16, "precision": "fp32"}, 2, "fp32", "FP32"),
        ({"precision": "int8"}, 3, "int8-static", "INT8"),
        ({"precision": "fp16"}, 5, "fp16", "FP32"),
    ],
)
def test_a_node_runs_its_own_choice_or_the_precision_that_is_pinned(
    tmp_path: Path, more: dict[str, Any], factor: int, variant: str, arithmetic: str
) -> None:
    """By the batch that was measured next below; the answer says what computes, in FP32 for FP16 on a CPU."""
    version, sources = version_of(tmp_path, [choice(1, "fp32"), choice(16, "int8-static")])
    part = Part(version=version, sources=sources)
    result = infer(ModelStore(), run_of("m@3", [[1.0, 2.0]], **more), part)
    assert result["outputs"]["y"] == [[factor, 2.0 * factor]]
    told = (result["model"], result["version"], result["variant"], result["arithmetic"])
    assert told == ("m", 3, variant, arithmetic)


def test_a_version_without_measurements_runs_as_it_was_uploaded(tmp_path: Path) -> None:
    """FP32 is never wrong; a precision without a variant that passed fails."""
    version, sources = version_of(tmp_path, [])
    assert (
        infer(ModelStore(), run_of("m", [[1, 1]]), Part(version=version, sources=sources))["variant"]
        == "fp32"
    )
    del version["variants"][1]
    with pytest.raises(
        InferenceRefused, match=r"m@3 has no variant in int8 that passed its gate: it has fp32"
    ):
        infer(ModelStore(), run_of("m", [[1, 1]], precision="int8"), Part(version=version, sources=sources))
    with pytest.raises(InferenceRefused, match="m@3 is not registered any more"):
        infer(ModelStore(), run_of("m@3", [[1, 1]]))


def test_the_batch_is_what_the_examination_found(tmp_path: Path) -> None:
    """Whatever the model says of its axes: a batch axis that lies is run row by row, and rows that change
    each other are run at once only."""
    rows = [[float(number), 1.0] for number in range(5)]
    version, sources = version_of(tmp_path, [], "fixed 1")
    result = infer(ModelStore(), run_of("m@3", rows, batch_size=4), Part(version=version, sources=sources))
    assert (result["batch"], result["rows"], result["outputs"]["y"][4]) == (1, 5, [8.0, 2.0])
    version["batch"] = "none"
    assert infer(ModelStore(), run_of("m@3", rows), Part(version=version, sources=sources))["rows"] == 5
    with pytest.raises(InferenceRefused, match="change each other"):
        infer(ModelStore(), run_of("m@3", rows, batch_size=4), Part(version=version, sources=sources))
