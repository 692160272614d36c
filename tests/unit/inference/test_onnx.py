"""The shipped models, and what is refused."""

from __future__ import annotations

import base64
import io
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helix_ray.digits import as_image, as_rows, held_out
from helix_ray.inference.errors import BadInput, BadModelFile, InferenceRefused, ModelNotFound
from helix_ray.inference.onnx import DEFAULT_ROOT, ModelStore
from helix_ray.inference.running import infer
from helix_ray.inference.weights import scan

IMAGES, LABELS = held_out()


@pytest.fixture(scope="module")
def store() -> ModelStore:
    return ModelStore()


def npy(array: Any, **more: Any) -> dict[str, str]:
    file = io.BytesIO()
    np.save(file, array, **more)
    return {"npy_base64": base64.b64encode(file.getvalue()).decode()}


def request(inputs: Any, **more: Any) -> dict[str, Any]:
    return {"kind": "inference", "model": "digits_transformer", "inputs": inputs} | more


@pytest.mark.parametrize(
    ("name", "prepare", "correct_min"),
    [("digits_transformer", as_rows, 0.97), ("digits_resnet20", as_image, 0.97)],
)
def test_held_out_digits(store: ModelStore, name: str, prepare: Any, correct_min: float) -> None:
    """The models read the 497 digits they never saw; the answer says how they ran."""
    result = infer(store, request(prepare(IMAGES).tolist(), model=name))
    answers = np.argmax(result["outputs"]["logits"], axis=1)
    assert (answers == LABELS).mean() >= correct_min
    assert result["shapes"] == {"logits": [497, 10]}
    assert (result["model"], result["precision"]) == (name, "fp32")
    assert result["provider"] == "CPUExecutionProvider"
    assert result["duration_ms"] > 0


def test_all_forms_of_inputs_agree(store: ModelStore) -> None:
    """Bare or named, lists or .npy of any byte order and layout: the same numbers come out."""
    rows = as_rows(IMAGES[:3])
    forms = [
        rows.tolist(),
        {"rows": rows.tolist()},
        npy(rows),
        {"rows": npy(rows)},
        npy(rows.astype(">f4")),
        npy(np.asfortranarray(rows)),
    ]
    outputs = [infer(store, request(form, outputs=["logits"]))["outputs"]["logits"] for form in forms]
    assert all(output == outputs[0] for output in outputs)


def test_whole_numbers_are_taken_for_floats(store: ModelStore) -> None:
    """JSON 0 and 0.0 are the same number."""
    assert infer(store, request([[[0] * 8] * 8]))["shapes"] == {"logits": [1, 10]}


HUGE_CLAIM = (
    b"\x93NUMPY\x01\x00"
    + struct.pack("<H", 118)
    + (b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,), }".ljust(117) + b"\n")
)


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ([[0.0] * 8] * 8, "input 'rows': the model expects [batch, 8, 8], not [8, 8]"),
        ([[[0.0] * 8] * 7], "the model expects [batch, 8, 8], not [1, 7, 8]"),
        ([[[0.0] * 8] * 7 + [[0.0] * 7]], "equal lengths"),
        ([[["a"] * 8] * 8], "the model expects float32, not text"),
        ([[[True] * 8] * 8], "the model expects float32, not true/false"),
        ([[[None] * 8] * 8], "the model expects float32, not mixed values"),
        ([[[10**400] * 8] * 8], "the model expects float32, not"),
        (None, "must be nested lists, not NoneType"),
        ({"cols": []}, "unknown inputs: cols; the model's inputs are rows"),
        ({}, "missing inputs: rows"),
        ({"rows": {"png": ""}}, "npy_base64"),
        ({"npy_base64": "not base64!"}, "not valid base64"),
        ({"npy_base64": 3}, "not valid base64"),
        ({"npy_base64": base64.b64encode(b"PK\x03\x04").decode()}, "not a .npy file"),
        ({"npy_base64": base64.b64encode(HUGE_CLAIM).decode()}, "but the data has another size"),
        (npy(np.zeros((1, 8, 8))), "the model expects float32, not float64"),
        (npy(np.array([{}]), allow_pickle=True), "Python objects"),
    ],
)
def test_bad_inputs(store: ModelStore, inputs: Any, words: str) -> None:
    """Every refusal says what came and what is wanted."""
    with pytest.raises(BadInput, match=re.escape(words)):
        infer(store, request(inputs))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"outputs": ["nothing"]}, "unknown output 'nothing'; the model's outputs are logits"),
        ({"outputs": []}, "list of names"),
        ({"extra": 1}, "unknown fields: extra"),
    ],
)
def test_bad_requests(store: ModelStore, more: dict[str, Any], words: str) -> None:
    """What is not known is refused by name."""
    with pytest.raises(InferenceRefused, match=words):
        infer(store, request([[[0] * 8] * 8], **more))


@pytest.mark.parametrize(
    "name", ["none", "../models/digits_resnet20", "A", "", "x" * 65, "a/b", None, 3, "..", "a\n"]
)
def test_names_of_models(store: ModelStore, name: Any) -> None:
    """A name that is no model's, or would lead out of the folder, finds nothing."""
    with pytest.raises(ModelNotFound):
        infer(store, request([], model=name))


def test_list(store: ModelStore, tmp_path: Path) -> None:
    """What is there, with types and shapes; a file that is no model is left out."""
    shutil.copy(DEFAULT_ROOT / "digits_transformer.onnx", tmp_path / "mine.onnx")
    (tmp_path / "broken.onnx").write_bytes(b"not a model")
    (tmp_path / "Not A Name.onnx").write_bytes(b"")
    (only,) = ModelStore(tmp_path).list()
    assert (only.name, only.bytes, only.precision) == (
        "mine",
        (tmp_path / "mine.onnx").stat().st_size,
        "fp32",
    )
    assert (only.inputs[0].name, only.inputs[0].dtype, only.inputs[0].shape) == (
        "rows",
        "float32",
        ("batch", 8, 8),
    )
    assert only.outputs[0].shape == ("batch", 10)
    assert len(only.sha256) == 64
    assert {info.name for info in store.list()} == {"digits_resnet20", "digits_transformer"}


def test_a_changed_file_is_loaded_again(tmp_path: Path) -> None:
    """A model of the folder is what its file contains at the moment."""
    shutil.copy(DEFAULT_ROOT / "digits_resnet20.onnx", tmp_path / "b.onnx")
    store = ModelStore(tmp_path)
    first = store.session("b")
    assert store.session("b") is first
    shutil.copy(DEFAULT_ROOT / "digits_transformer.onnx", tmp_path / "b.onnx")
    assert store.model("b").info.inputs[0].name == "rows"


def test_model_files_that_are_not_taken(tmp_path: Path) -> None:
    """Too large, truncated, or with weights in other files: refused before ONNX Runtime sees them."""
    model = (DEFAULT_ROOT / "digits_resnet20.onnx").read_bytes()
    (tmp_path / "large.onnx").write_bytes(model)
    with pytest.raises(BadModelFile, match="the limit is 1000"):
        ModelStore(tmp_path, model_bytes_max=1000).session("large")
    (tmp_path / "cut.onnx").write_bytes(model[:-1000])
    with pytest.raises(BadModelFile, match="ends too early"):
        ModelStore(tmp_path).session("cut")
    (tmp_path / "outside.onnx").write_bytes(external_model())
    with pytest.raises(BadModelFile, match=r"stores weights in other files \(w\)"):
        ModelStore(tmp_path).session("outside")
    (tmp_path / "empty.onnx").write_bytes(b"")
    with pytest.raises(BadModelFile, match="cannot be loaded"):
        ModelStore(tmp_path).session("empty")


def field(number: int, body: bytes) -> bytes:
    return bytes([number << 3 | 2, len(body)]) + body


def external_model() -> bytes:
    """A model, by hand, whose only tensor `w` (float [2, 3]) has data_location EXTERNAL."""
    tensor = field(1, b"\x02\x03") + b"\x10\x01" + field(8, b"w") + bytes([14 << 3, 1])
    return field(7, field(5, tensor))


def test_scan() -> None:
    """Weights are counted by size; the shipped models agree with their known sizes."""
    assert scan(external_model()).precision == "fp32"
    assert scan(external_model()).external == ("w",)
    assert scan(b"").precision is None
    for garbage in (b"\xff", b"\x3a\x7f", b"\x3b", b"\xff" * 20):
        with pytest.raises(BadModelFile):
            scan(garbage)


def test_importing_the_store_loads_no_runtime() -> None:
    """A process that runs no model pays for none."""
    program = (
        "import sys, helix_ray.inference.onnx, helix_ray.execution.executor\n"
        "assert not {'onnxruntime', 'numpy'} & set(sys.modules), 'loaded'"
    )
    subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parents[3], check=True)
