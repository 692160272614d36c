"""An examination: which variants are ready, which are refused, with what figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from helix_ray.digits import as_image, as_rows, held_out
from helix_ray.inference.onnx import DEFAULT_ROOT
from helix_ray.inference.variants import ExaminationReport, Gate, GateBounds, Variant
from tests.unit.inference import onnx_models as models
from tests.unit.inference.examining import by_name, examined, npz

IMAGES, LABELS = held_out()
CALIBRATING = 97
NO_RANGE = "rows that calibrate give NaN or infinity in {}: that has no range"


def digits(blobs: Path, name: str, prepare: Any, **more: Any) -> ExaminationReport:
    """Examine a model of the package: 97 digits calibrate, 400 labelled ones judge."""
    rows = prepare(IMAGES)
    given = {"digits_resnet20": "image", "digits_transformer": "rows"}[name]
    return examined(
        blobs,
        (DEFAULT_ROOT / f"{name}.onnx").read_bytes(),
        calibration=npz(**{given: rows[:CALIBRATING]}),
        heldout=npz(**{given: rows[CALIBRATING:], "labels": LABELS[CALIBRATING:]}),
        **more,
    )


def gate(variant: Variant) -> Gate:
    """Return the figures of a variant that was judged."""
    assert variant["gate"] is not None
    return variant["gate"]


def operators(blobs: Path, variant: Variant) -> set[str]:
    """Return the types of the nodes in the file of a variant."""
    return {node.op_type for node in onnx.load(blobs / str(variant["digest"])).graph.node}


@pytest.fixture(scope="module")
def resnet(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, ExaminationReport, list[tuple[float, str]]]:
    """The examination of a convolutional net, its blobs, and what it said of its progress."""
    blobs = tmp_path_factory.mktemp("blobs")
    told: list[tuple[float, str]] = []
    return blobs, digits(blobs, "digits_resnet20", as_image, progress=lambda *each: told.append(each)), told


Examined = tuple[Path, ExaminationReport, list[tuple[float, str]]]


def test_static_int8_of_a_convolutional_net(resnet: Examined) -> None:
    """Static INT8 of digits_resnet20 is within half a point of FP32, on rows that did not calibrate it."""
    blobs, report, _ = resnet
    static = by_name(report)["int8-static"]
    assert (static["state"], static["automatic"], static["arithmetic"]) == ("ready", True, "INT8")
    accuracy = gate(static)["accuracy"]
    assert accuracy is not None
    assert accuracy["difference"] >= -0.005
    assert accuracy["low"] <= accuracy["difference"] <= accuracy["high"]
    assert gate(static)["rows"] == 400
    assert static["bytes"] < 0.4 * by_name(report)["fp32"]["bytes"]
    assert {"QuantizeLinear", "DequantizeLinear"} <= operators(blobs, static)


@pytest.mark.parametrize("name", ["int8-static", "int8-dynamic"])
def test_int8_weights_never_saturate(resnet: Examined, name: str) -> None:
    """Two products of a weight and an unsigned activation fit into 16 bits: sums are exact without VNNI."""
    blobs, report, _ = resnet
    graph = onnx.load(blobs / str(by_name(report)[name]["digest"])).graph
    weights = [
        onnx.numpy_helper.to_array(each)
        for each in graph.initializer
        if each.data_type == onnx.TensorProto.INT8 and len(each.dims) > 1
    ]
    assert weights
    assert max(np.abs(each.astype(int)).max() for each in weights) * 255 * 2 <= np.iinfo(np.int16).max


def test_dynamic_int8_never_has_convolutions(resnet: Examined) -> None:
    """ConvInteger takes about ten times as long as FP32, so no dynamic variant has it."""
    blobs, report, _ = resnet
    assert operators(blobs, by_name(report)["int8-dynamic"]) & {"Conv", "ConvInteger"} == {"Conv"}


def test_files_are_named_by_their_digest(resnet: Examined) -> None:
    """Every variant with a file is there under its digest, can be loaded, and keeps the types of FP32."""
    blobs, report, _ = resnet
    for variant in report["variants"]:
        if variant["name"] == "tf32":
            assert variant["digest"] is None
            continue
        file = blobs / str(variant["digest"])
        assert file.stat().st_size == variant["bytes"]
        session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        assert [each.type for each in (*session.get_inputs(), *session.get_outputs())] == [
            "tensor(float)"
        ] * 2
        onnx.checker.check_model(onnx.load(file))  # sorted, too, which the converter does not do by itself
    stored = {each.name for each in blobs.iterdir()} - {".incoming"}
    assert len(stored) == 2 + 5  # data; the upload and four built files; no scratch folder


def test_half_of_the_bytes(resnet: Examined) -> None:
    """FP16 and FP16 storage halve the file, TF32 has none; each is judged by its own arithmetic."""
    variants = by_name(resnet[1])
    for name in ("fp16", "fp16-storage"):
        assert variants[name]["bytes"] < 0.55 * variants["fp32"]["bytes"]
    for name in ("fp16", "fp16-storage", "tf32"):
        assert variants[name]["state"] == "ready"
        assert 1e-5 < (gate(variants[name])["max_relative_error"] or 0) < 0.005
    assert "FP16 arithmetic (reference evaluator) on 2 rows" in gate(variants["fp16"])["method"]
    assert "TF32 arithmetic" in gate(variants["tf32"])["method"]


def test_signature(resnet: Examined) -> None:
    """The report says what goes in and out, and that any number of rows may go together."""
    report = resnet[1]
    assert report["inputs"] == [{"name": "image", "dtype": "float32", "shape": ["batch", 1, 32, 32]}]
    assert report["outputs"] == [{"name": "logits", "dtype": "float32", "shape": ["batch", 10]}]
    assert (report["opset"], report["batch"], report["warnings"]) == (17, "dynamic", [])


def test_progress(resnet: Examined) -> None:
    """Progress goes up from 0 to 1, and names each step."""
    told = resnet[2]
    parts = [part for part, _ in told]
    assert parts == sorted(parts)
    assert (parts[0], parts[-1]) == (0.0, 1.0)
    texts = list(dict.fromkeys(text for _, text in told))
    assert texts[0] == "run the model in a child process"
    assert texts[1:-1] == [f"build and judge {name}" for name in by_name(resnet[1]) if name != "fp32"]


def test_dynamic_int8_of_a_transformer(tmp_path: Path) -> None:
    """Dynamic INT8 of digits_transformer is within half a point of FP32."""
    variants = by_name(digits(tmp_path, "digits_transformer", as_rows))
    dynamic = variants["int8-dynamic"]
    accuracy = gate(dynamic)["accuracy"]
    assert dynamic["state"] == "ready"
    assert accuracy is not None
    assert accuracy["difference"] >= -0.005
    assert "MatMulInteger" in operators(tmp_path, dynamic)
    assert dynamic["bytes"] < 0.35 * variants["fp32"]["bytes"]


@pytest.mark.parametrize("make", [models.overflow_matmul, models.overflow_conv])
def test_fp16_overflow(tmp_path: Path, make: Any) -> None:
    """FP16 that overflows is refused with figures, although this CPU computes it without a flaw."""
    fp16 = by_name(examined(tmp_path, make()))["fp16"]
    assert (fp16["state"], fp16["digest"]) == ("refused", None)
    assert "FP16 overflow: the tensor 'large' reaches" in str(fp16["reason"])
    assert "FP16 ends at 65504" in str(fp16["reason"])
    assert gate(fp16)["max_relative_error"] is None  # infinities, by the evaluator


def test_depthwise(tmp_path: Path) -> None:
    """Static INT8 of depthwise filters whose channels differ by magnitudes is refused with figures."""
    variants = by_name(examined(tmp_path, models.mobile(uneven=True)))
    static = variants["int8-static"]
    assert (static["state"], gate(static)["passed"]) == ("refused", False)
    assert (gate(static)["max_relative_error"] or 0) > 0.2
    assert "relative error" in str(static["reason"])
    assert "cosine" in str(static["reason"])
    assert variants["fp16-storage"]["state"] == "ready"


def test_synthetic_data_activates_no_int8(tmp_path: Path) -> None:
    """Without data INT8 may pass the gate, but is not activated by itself; the others may be."""
    report = examined(tmp_path, models.mobile())
    variants = by_name(report)
    assert (variants["int8-static"]["state"], variants["int8-static"]["automatic"]) == ("ready", False)
    assert gate(variants["int8-static"])["data"] == "synthetic"
    assert variants["fp16"]["automatic"]
    assert "no data was given" in report["warnings"][0]


def test_recurrent(tmp_path: Path) -> None:
    """A GRU with an embedding is fed with words of its vocabulary; its matrix product has a dynamic INT8
    form."""
    report = examined(tmp_path, models.recurrent())
    variants = by_name(report)
    assert report["batch"] == "dynamic"
    assert variants["fp16"]["state"] == "ready"
    assert variants["int8-dynamic"]["state"] == "ready"


def test_forest(tmp_path: Path) -> None:
    """Trees have no other form: each variant says so, and the model is ready as it is."""
    report = examined(tmp_path, models.forest())
    assert report["state"] == "ready"
    reasons = {variant["name"]: variant["reason"] for variant in report["variants"]}
    assert reasons.pop("fp32") is None
    assert {each["state"] for each in report["variants"][1:]} == {"failed"}
    assert reasons["int8-static"] == "no operator of this model has an INT8 form"
    assert len(set(reasons.values())) == 5


def test_a_calibrator_that_fails(tmp_path: Path) -> None:
    """A variant that cannot be built fails with the reason, and ends nothing."""
    variants = by_name(examined(tmp_path, models.undefined_inside()))
    assert variants["int8-static"]["state"] == "failed"
    assert variants["int8-static"]["reason"] == NO_RANGE.format("a tensor inside the model")
    assert variants["int8-dynamic"]["gate"] is not None
    assert variants["fp16"]["state"] == "ready"


def test_rows_that_calibrate_and_are_not_finite(tmp_path: Path) -> None:
    """The reason names the input; what needs no ranges is built."""
    rows = np.ones((8, 8), np.float32)
    odd, even = npz(x=np.full_like(rows, np.nan)), npz(x=rows)
    variants = by_name(examined(tmp_path, models.linear(), calibration=odd, heldout=even))
    assert variants["int8-static"]["reason"] == NO_RANGE.format("input 'x'")
    assert variants["int8-dynamic"]["state"] == "ready"


def test_a_variant_that_kills_the_runtime(tmp_path: Path) -> None:
    """FP16 makes a divisor -1, at which the CPU raises a signal: that fails, and the next one is built."""
    report = examined(tmp_path, models.divides_lowest(-1.0004))
    variants = by_name(report)
    assert report["state"] == "ready"
    assert (variants["fp16"]["state"], variants["fp16"]["reason"]) == ("failed", "signal 8")
    assert list(variants) == ["fp32", "tf32", "fp16", "fp16-storage", "int8-static", "int8-dynamic"]
    assert variants["int8-static"]["gate"] is not None


@pytest.mark.parametrize(
    ("make", "batch", "why"),
    [
        (models.fixed_inside, "fixed 1", "2 rows give an output of the shape [1, 1]"),
        (models.eight_values_only, "fixed 1", "2 rows cannot be run: "),
        (models.rows_together, "none", "rows change each other, by "),
    ],
)
def test_a_batch_axis_that_lies(tmp_path: Path, make: Any, batch: str, why: str) -> None:
    """A batch is dynamic where runs of 1, 2 and 3 rows agree, not where an axis has a name."""
    report = examined(tmp_path, make())
    assert (report["state"], report["batch"]) == ("ready", batch)
    assert f"its batch axis is dynamic in name only: {why}" in report["warnings"][1]


def test_an_old_format(tmp_path: Path) -> None:
    """In version 3 of the format weights are inputs, too: all variants of such a model are built."""
    model = models.mobile()
    model.ir_version = 3
    model.opset_import[0].version = 9
    for each in model.graph.initializer:
        model.graph.input.append(models.value(each.name, each.dims))
    report = examined(tmp_path, model)
    assert [each["name"] for each in report["inputs"]] == ["image"]
    assert {each["name"]: each["reason"] for each in report["variants"] if each["state"] != "ready"} == {}


def test_bounds_are_settings(tmp_path: Path) -> None:
    """With tighter bounds the same variant is refused, and says by how much."""
    report = examined(tmp_path, models.mobile(), bounds=GateBounds(max_relative_error=1e-7))
    assert by_name(report)["fp16-storage"]["state"] == "refused"
    assert "is above 1e-07" in str(by_name(report)["fp16-storage"]["reason"])


def test_one_file_calibrates_and_judges(tmp_path: Path) -> None:
    """One given file is split, and no row does both."""
    chance = np.random.default_rng(0)
    rows = chance.standard_normal((40, 8), dtype=np.float32)
    rows[30] = rows[0]
    report = examined(tmp_path, models.linear(), heldout=npz(x=rows))
    assert gate(by_name(report)["int8-static"])["rows"] == 29
    assert report["warnings"] == [
        "one file was given: its first 10 rows calibrate, the next 30 judge",
        "1 rows of heldout are in calibration, too: they do not judge",
    ]
