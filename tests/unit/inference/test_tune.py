"""Tuning on this machine: real variants, in a child process. Choices are asserted, times are not."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import psutil
import pytest
from onnx import helper
from onnxruntime.quantization import QuantType, quantize_dynamic

from helix_ray.core.model_choice import automatic
from helix_ray.digits import as_image, as_rows, held_out
from helix_ray.inference.building import build
from helix_ray.inference.errors import InferenceRefused
from helix_ray.inference.examine import examine
from helix_ray.inference.node_class import node_class
from helix_ray.inference.onnx import DEFAULT_ROOT, ModelStore
from helix_ray.inference.providers import CPU
from helix_ray.inference.tune import tune
from helix_ray.inference.tuner import GAIN_MIN, MADE_ROWS_ONLY, TrialRow, TuningJob, TuningReport
from helix_ray.inference.tuning_child import NICE
from helix_ray.inference.variants import ARITHMETIC, ExaminationJob, TensorShape, Variant
from tests.unit.inference.onnx_models import (
    deep_tree,
    fixed_inside,
    forest,
    mobile,
    model,
    recurrent,
    rows_together,
    value,
    weights,
)
from tests.unit.inference.small_models import doubling, save

IMAGES, LABELS = held_out()
CALIBRATING = 100


class Blobs:
    """A folder of files by digest, and the variants that are in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.variants: list[Variant] = []

    def put(self, data: bytes) -> str:
        digest = hashlib.sha256(data).hexdigest()
        (self.folder / digest).write_bytes(data)
        return digest

    def rows(self, **arrays: Any) -> str:
        file = io.BytesIO()
        np.savez(file, **arrays)
        return self.put(file.getvalue())

    def add(self, name: str, file: Path, *, data: str = "given", passed: bool = True) -> None:
        gate: Any = {
            "data": data, "rows": 300, "max_relative_error": 0.1, "min_cosine": 0.998, "top1_agreement": 0.99,
            "accuracy": None, "passed": passed, "method": "",
        }  # fmt: skip
        variant: Any = {
            "name": name, "digest": self.put(file.read_bytes()), "bytes": file.stat().st_size,
            "state": "ready" if passed else "refused",
            "reason": None if passed else "cosine 0.4 is below 0.99",
            "arithmetic": ARITHMETIC[name], "gate": None if name == "fp32" else gate, "automatic": True,
        }  # fmt: skip
        self.variants.append(variant)

    def tune(self, inputs: list[TensorShape], **more: Any) -> TuningReport:
        return tune(TuningJob(self.variants, inputs, **more), self.folder, silently)


def silently(_fraction: float, _text: str) -> None:
    """Take no notice of progress."""


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    folder = tmp_path / "blobs"
    folder.mkdir()
    return Blobs(folder)


def inputs_of(name: str) -> list[TensorShape]:
    (spec,) = ModelStore().model(name).info.inputs
    return [{"name": spec.name, "dtype": spec.dtype, "shape": list(spec.shape)}]


def small_inputs(*shape: int | str) -> list[TensorShape]:
    return [{"name": "x", "dtype": "float32", "shape": list(shape)}]


def rows_of(report: TuningReport, variant: str) -> list[TrialRow]:
    return [row for row in report["rows"] if row["variant"] == variant]


def chosen(report: TuningReport, batch: int) -> str | None:
    return next((each["variant"] for each in report["choices"] if each["batch"] == batch), None)


def has_fast_int8() -> bool:
    """Say whether the CPU multiplies INT8 faster than FP32: without VNNI or its like it does not."""
    flags = set(node_class().details["flags"])
    return bool(flags & {"avx512_vnni", "avx_vnni", "amx_int8", "i8mm", "asimddp"})


def alone(blobs: Blobs, name: str) -> Path:
    """Return a copy of a model in a folder of its own: what is built of it is written beside it."""
    folder = blobs.folder / f"build-{name}"
    folder.mkdir()
    return shutil.copy(DEFAULT_ROOT / f"{name}.onnx", folder / "model.onnx")


def with_variants(blobs: Blobs, name: str, key: str, rows: Any, built: Sequence[str]) -> list[TensorShape]:
    model = alone(blobs, name)
    blobs.add("fp32", model)
    for variant in built:
        file = model.with_name(f"{variant}.onnx")
        build(variant, model, file, ({key: rows[at : at + 20]} for at in range(0, CALIBRATING, 20)))
        blobs.add(variant, file)
    return inputs_of(name)


def test_the_convolutional_net_gets_int8_with_static_ranges(blobs: Blobs) -> None:
    """Where the CPU has fast INT8; FP16 storage gains nothing there, and the quantiser's own default for
    ranges at run time, which has no fast convolutions, is refused before it costs time."""
    rows = as_image(IMAGES)
    inputs = with_variants(blobs, "digits_resnet20", "image", rows, ("fp16-storage", "int8-static"))
    trap = blobs.folder / "trap.onnx"
    quantize_dynamic(DEFAULT_ROOT / "digits_resnet20.onnx", trap, weight_type=QuantType.QUInt8)
    blobs.add("int8-dynamic", trap)
    heldout = blobs.rows(image=rows[CALIBRATING:], labels=LABELS[CALIBRATING:].astype(np.int64))
    report = blobs.tune(inputs, heldout=heldout, batches=(16,), cpus=1, time_limit_s=120.0)
    if has_fast_int8():
        assert chosen(report, 16) == "int8-static", report["rows"]
    assert chosen(report, 16) in ("int8-static", "fp32")
    assert {row["why_not"] for row in rows_of(report, "int8-dynamic")} == {
        "convolutions in INT8 with ranges found at run time: no provider has fast kernels"
    }
    assert (report["data"], report["node_class"]) == ("given", node_class().name)
    assert report["machine"]["cpu"] == node_class().details["cpu"]
    (fp32,) = rows_of(report, "fp32")
    assert (fp32["ratio"], fp32["items_per_s"] is not None) == (1.0, True)
    assert fp32["n"] >= 6


def test_the_transformer_gets_int8_with_ranges_at_run_time(blobs: Blobs) -> None:
    """Where the CPU has fast INT8; the batch decides, and every variant that is not chosen says why not."""
    rows = as_rows(IMAGES)
    names = ("fp16", "int8-dynamic")
    inputs = with_variants(blobs, "digits_transformer", "rows", rows, names)
    heldout = blobs.rows(rows=rows[CALIBRATING:])
    report = blobs.tune(inputs, heldout=heldout, batches=(16,), cpus=1, time_limit_s=120.0)
    if has_fast_int8():
        assert chosen(report, 16) == "int8-dynamic"
    assert chosen(report, 16) in ("int8-dynamic", "fp32")
    assert all((row["why_not"] is None) == (row["variant"] == chosen(report, 16)) for row in report["rows"])


def test_a_model_where_nothing_wins_stays_at_fp32(blobs: Blobs, tmp_path: Path) -> None:
    """Its variants are the same work under other names: none is faster beyond doubt, for no batch."""
    file = tmp_path / "small.onnx"
    save(doubling(), file)
    for name in ("fp32", "fp16-storage", "int8-static"):
        blobs.add(name, file)
    report = blobs.tune(small_inputs("batch", 8), batches=(1, 16), cpus=1, time_limit_s=120.0)
    assert [chosen(report, batch) for batch in (1, 16)] == ["fp32", "fp32"]
    assert report["data"] == "synthetic"


def test_what_the_gate_refused_or_saw_only_made_rows_of_is_never_chosen(blobs: Blobs, tmp_path: Path) -> None:
    """A refused variant is not even opened; INT8 that was judged on made rows is measured and left."""
    rows = as_image(IMAGES)
    model = alone(blobs, "digits_resnet20")
    static = tmp_path / "int8.onnx"
    build("int8-static", model, static, iter([{"image": rows[:20]}]))
    blobs.add("fp32", model)
    blobs.add("fp16", DEFAULT_ROOT / "digits_transformer.onnx", passed=False)
    blobs.add("int8-static", static, data="synthetic")
    report = blobs.tune(inputs_of("digits_resnet20"), batches=(1,), cpus=1, time_limit_s=120.0)
    assert chosen(report, 1) == "fp32"
    (int8,), (fp16,) = rows_of(report, "int8-static"), rows_of(report, "fp16")
    assert (int8["why_not"], int8["ratio"] is not None) == (MADE_ROWS_ONLY, True)
    assert fp16["why_not"] == "refused in the examination: cosine 0.4 is below 0.99"


def test_a_variant_that_differs_on_this_machine_is_left_out(blobs: Blobs, tmp_path: Path) -> None:
    """The gate was passed on another node: here its outputs are compared once more before it is timed."""
    other = onnx.load(DEFAULT_ROOT / "digits_resnet20.onnx")
    weights = next(each for each in other.graph.initializer if len(each.dims) == 4)
    weights.CopyFrom(onnx.numpy_helper.from_array(-onnx.numpy_helper.to_array(weights), weights.name))
    save(other, tmp_path / "other.onnx")
    blobs.add("fp32", DEFAULT_ROOT / "digits_resnet20.onnx")
    blobs.add("fp16-storage", tmp_path / "other.onnx")
    report = blobs.tune(inputs_of("digits_resnet20"), batches=(1,), cpus=1, time_limit_s=120.0)
    (row,) = rows_of(report, "fp16-storage")
    assert f"its outputs on {CPU} differ from fp32 on the CPU: relative error" in (row["why_not"] or "")
    assert chosen(report, 1) == "fp32"


def test_a_variant_that_kills_the_child_is_left_out_and_the_rest_is_tuned(
    blobs: Blobs, tmp_path: Path
) -> None:
    """It crashes the runtime when it is loaded; the next child goes on without it."""
    save(doubling(), tmp_path / "small.onnx")
    save(deep_tree(), tmp_path / "deadly.onnx")
    for name, file in (("fp32", "small"), ("fp16-storage", "deadly"), ("int8-static", "small")):
        blobs.add(name, tmp_path / f"{file}.onnx")
    report = blobs.tune(small_inputs("batch", 8), batches=(1,), cpus=1, time_limit_s=120.0)
    (row,) = rows_of(report, "fp16-storage")
    assert row["why_not"] == "it ended the process that tried it: signal 11"
    assert [each["ratio"] is not None for each in rows_of(report, "int8-static")] == [True]
    assert chosen(report, 1) == "fp32"


def test_what_was_measured_counts_where_a_larger_batch_takes_all_memory(blobs: Blobs, tmp_path: Path) -> None:
    """Each row becomes 4 MB: a batch of one fits, one of 512 ends the child, and the evidence says so."""
    nodes = [
        helper.make_node("Unsqueeze", ["x", "last"], ["a"]),
        helper.make_node("Tile", ["a", "times"], ["b"]),
        helper.make_node("ReduceMax", ["b"], ["y"], axes=[2], keepdims=0),
    ]
    wide = [weights("last", np.array([2])), weights("times", np.array([1, 1, 2**17]))]
    made = model(nodes, [value("x", ["n", 8])], [value("y", ["n", 8])], wide)
    save(made, tmp_path / "wide.onnx")
    blobs.add("fp32", tmp_path / "wide.onnx")
    limits: dict[str, Any] = {"cpus": 1, "time_limit_s": 120.0, "memory_mb": 1024}
    report = blobs.tune(small_inputs("n", 8), batches=(1, 512, 1024), **limits)
    assert chosen(report, 1) == "fp32"
    why = {row["batch"]: row["why_not"] for row in report["rows"]}
    ended = "not measured: it ended the process that tried it: memory above 1024 MB"
    assert why == {1: None, 512: ended, 1024: ended}
    with pytest.raises(InferenceRefused, match="tuning ended: memory above 1024 MB"):
        blobs.tune(small_inputs("n", 8), batches=(512,), **limits)


def test_the_time_limit_bounds_it(blobs: Blobs) -> None:
    """Without time nothing is measured, nothing is chosen, and every row says so."""
    blobs.add("fp32", DEFAULT_ROOT / "digits_resnet20.onnx")
    report = blobs.tune(inputs_of("digits_resnet20"), cpus=1, time_limit_s=0.0)
    assert report["choices"] == []
    assert {row["why_not"] for row in report["rows"]} == {
        "not measured: the time limit allowed 0 rounds of 6"
    }
    assert {row["batch"] for row in report["rows"]} == {1, 16, 128}
    with pytest.raises(
        InferenceRefused, match="this model cannot be tuned: heldout: no array for input 'image'"
    ):
        blobs.tune(inputs_of("digits_resnet20"), heldout=blobs.rows(wrong=np.zeros(3)), time_limit_s=120.0)


def test_it_yields_to_tasks(blobs: Blobs, tmp_path: Path) -> None:
    """The child has a lower priority than what tasks run with, and sees no variable but a few."""
    save(doubling(), tmp_path / "small.onnx")
    blobs.add("fp32", tmp_path / "small.onnx")
    blobs.add("fp16-storage", tmp_path / "small.onnx")
    seen: list[tuple[int, bool]] = []

    def look(_fraction: float, _text: str) -> None:
        (child,) = (
            each
            for each in psutil.Process().children()
            # A zombie of an earlier test has no command line.
            if each.status() != psutil.STATUS_ZOMBIE and "helix_ray.inference.tuning_child" in each.cmdline()
        )
        seen.append((child.nice(), "HELIX_SECRET" in child.environ()))

    os.environ["HELIX_SECRET"] = "not for children"
    try:
        job = TuningJob(blobs.variants, small_inputs("batch", 8), batches=(1,), cpus=1, time_limit_s=120.0)
        tune(job, blobs.folder, look)
    finally:
        del os.environ["HELIX_SECRET"]
    assert set(seen) == {(os.getpriority(os.PRIO_PROCESS, 0) + NICE, False)}


def test_a_fixed_batch_is_the_only_one(blobs: Blobs, tmp_path: Path) -> None:
    """A model that takes exactly four rows is measured with four, whatever batches were asked for."""
    fixed = tmp_path / "fixed.onnx"
    save(doubling(4), fixed)
    blobs.add("fp32", fixed)
    report = blobs.tune(small_inputs(4, 8), cpus=1, time_limit_s=120.0)
    assert {row["batch"] for row in report["rows"]} == {4}


@pytest.mark.parametrize(("make", "batch"), [(fixed_inside, "fixed 1"), (rows_together, "none")])
def test_the_batch_is_what_the_examination_found(blobs: Blobs, tmp_path: Path, make: Any, batch: str) -> None:
    """A model whose batch axis lies is measured with the one row that it takes, or in one call."""
    file = tmp_path / "liar.onnx"
    save(make(), file)
    blobs.add("fp32", file)
    report = blobs.tune(small_inputs("n", 8), cpus=1, time_limit_s=120.0, batch=batch)
    assert [(each["batch"], each["variant"]) for each in automatic(report["choices"])] == [(1, "fp32")]


@pytest.mark.parametrize("make", [mobile, recurrent, forest])
def test_other_kinds_of_models_are_tuned_as_they_are_examined(
    blobs: Blobs, tmp_path: Path, make: Any
) -> None:
    """Depthwise convolutions, a GRU, a forest: whatever is chosen was built, passed, and won; else FP32
    stays."""
    file = tmp_path / "model.onnx"
    save(make(), file)
    digest = blobs.put(file.read_bytes())
    report = examine(ExaminationJob(digest, time_limit_s=120.0), blobs.folder, silently)
    blobs.variants = report["variants"]
    tuned = blobs.tune(report["inputs"], batches=(16,), cpus=1, time_limit_s=120.0)
    ready = {each["name"] for each in report["variants"] if each["state"] == "ready"}
    (choice,) = automatic(tuned["choices"])
    assert choice["variant"] in ready - {"int8-static", "int8-dynamic"}  # its rows were made
    assert choice["variant"] == "fp32" or choice["low"] >= GAIN_MIN
