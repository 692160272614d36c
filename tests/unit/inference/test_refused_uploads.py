"""Uploads that must be refused, each for its own reason; the process that asked lives on."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, external_data_helper, helper

from helix_ray.blobs.errors import BlobMissing
from helix_ray.inference.calibration import prepare
from helix_ray.inference.candidate import NotUsable
from helix_ray.inference.examine import examine
from helix_ray.inference.upload_checks import check_upload
from helix_ray.inference.variants import ExaminationJob, TensorShape
from tests.unit.inference import onnx_models as models
from tests.unit.inference.examining import examined, npz, put

MIB = 2**20


def cut_off() -> bytes:
    return models.linear().SerializeToString()[:-20]


def outside() -> ModelProto:
    model = models.linear()
    external_data_helper.set_external_data(model.graph.initializer[0], location="../../../etc/passwd")
    model.graph.initializer[0].ClearField("raw_data")
    return model


def huge_weights() -> ModelProto:
    model = models.linear()
    model.graph.initializer[0].dims[:] = [2**40]
    return model


def short_weights() -> ModelProto:
    model = models.linear()
    model.graph.initializer[0].raw_data = b"1234"
    return model


def huge_input() -> ModelProto:
    nodes = [helper.make_node("Relu", ["x"], ["y"])]
    return models.model(nodes, [models.value("x", ["n", 2**30])], [models.value("y", ["n", 2**30])])


def opset(version: int) -> ModelProto:
    model = models.linear()
    model.opset_import[0].version = version
    return model


def without(field: str) -> ModelProto:
    model = models.linear()
    model.graph.ClearField(field)
    return model


def no_inputs() -> ModelProto:
    nodes = [helper.make_node("Neg", ["w"], ["y"])]
    return models.model(nodes, [], [models.value("y", [2])], [models.weights("w", np.zeros(2, np.float32))])


def cycle() -> ModelProto:
    nodes = [helper.make_node("Add", ["x", "b"], ["a"]), helper.make_node("Relu", ["a"], ["b"])]
    return models.model(nodes, [models.value("x", ["n", 8])], [models.value("b", ["n", 8])])


def unknown_name() -> ModelProto:
    nodes = [helper.make_node("Add", ["x", "nobody"], ["y"])]
    return models.model(nodes, [models.value("x", ["n", 8])], [models.value("y", ["n", 8])])


def wrong_shapes() -> ModelProto:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    weights = [models.weights("w", np.zeros((5, 4), np.float32))]
    return models.model(nodes, [models.value("x", ["n", 8])], [models.value("y", ["n", 4])], weights)


def sequence() -> ModelProto:
    output = helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, None)
    nodes = [helper.make_node("SequenceConstruct", ["x"], ["y"])]
    return models.model(nodes, [models.value("x", ["n", 8])], [output])


def bfloat16() -> ModelProto:
    nodes = [helper.make_node("Cast", ["x"], ["y"], to=TensorProto.BFLOAT16)]
    return models.model(
        nodes, [models.value("x", ["n", 8])], [models.value("y", ["n", 8], TensorProto.BFLOAT16)]
    )


def text() -> ModelProto:
    nodes = [helper.make_node("Identity", ["x"], ["y"])]
    return models.model(
        nodes,
        [models.value("x", ["n"], TensorProto.STRING)],
        [models.value("y", ["n"], TensorProto.STRING)],
    )


def infinite() -> ModelProto:
    nodes = [helper.make_node("Div", ["x", "zero"], ["y"])]
    weights = [models.weights("zero", np.float32(0))]
    return models.model(nodes, [models.value("x", ["n", 8])], [models.value("y", ["n", 8])], weights)


def chance() -> ModelProto:
    nodes = [
        helper.make_node("RandomNormalLike", ["x"], ["noise"]),
        helper.make_node("Add", ["x", "noise"], ["y"]),
    ]
    return models.model(nodes, [models.value("x", [2, 8])], [models.value("y", [2, 8])])


def named(name: str) -> ModelProto:
    nodes = [helper.make_node("Relu", ["x"], [name])]
    return models.model(nodes, [models.value("x", ["n", 8])], [models.value(name, ["n", 8])])


def many_outputs() -> ModelProto:
    names = [f"y{number}" for number in range(1_001)]
    nodes = [helper.make_node("Relu", ["x"], [name]) for name in names]
    return models.model(
        nodes, [models.value("x", ["n", 8])], [models.value(name, ["n", 8]) for name in names]
    )


def no_values() -> ModelProto:
    nodes = [helper.make_node("Relu", ["x"], ["y"])]
    return models.model(nodes, [models.value("x", ["n", 0])], [models.value("y", ["n", 0])])


def training_outside() -> ModelProto:
    model = models.linear()
    tensor = model.training_info.add().initialization.initializer.add()
    tensor.CopyFrom(model.graph.initializer[0])
    external_data_helper.set_external_data(tensor, location="/etc/passwd")
    return model


def folded(size: int) -> ModelProto:
    """Return a model that has a constant of any size folded when it is loaded."""
    nodes = [
        helper.make_node("ConstantOfShape", ["size"], ["large"]),
        helper.make_node("ReduceSum", ["large"], ["sum"], keepdims=0),
        helper.make_node("Add", ["x", "sum"], ["y"]),
    ]
    sizes = [models.weights("size", np.array([size], np.int64))]
    return models.model(nodes, [models.value("x", ["n", 8])], [models.value("y", ["n", 8])], sizes)


def recursive() -> ModelProto:
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    again = helper.make_node("F", ["a"], ["b"], domain="own")
    function = helper.make_function("own", "F", ["a"], ["b"], [again], opsets)
    nodes = [helper.make_node("F", ["x"], ["y"], domain="own")]
    inputs, outputs = [models.value("x", ["n", 8])], [models.value("y", ["n", 8])]
    return models.model(nodes, inputs, outputs, domains=("own",), functions=(function,))


REFUSED: dict[str, tuple[Callable[[], ModelProto | bytes], str]] = {
    "empty": (lambda: b"", "the file is empty"),
    "a zip archive": (lambda: b"PK\x03\x04rest", "not an ONNX model but a zip archive"),
    "weights alone": (lambda: b'\x40\0\0\0\0\0\0\0{"w":{}}', "not an ONNX model but a safetensors file"),
    "a pointer": (lambda: b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
    "cut off": (cut_off, "it cannot be parsed"),
    "no nodes": (lambda: without("node"), "the graph has no nodes"),
    "no outputs": (lambda: without("output"), "the graph has no outputs"),
    "no inputs": (no_inputs, "the graph has no inputs"),
    "external data outside": (outside, "the weights 'w' are in another file ('../../../etc/passwd')"),
    "custom operator": (lambda: models.of_operator("Mine", domain="my.own"), "custom (domain 'my.own')"),
    "unknown operator": (lambda: models.of_operator("Frobnicate"), "'Frobnicate' does not exist in ai.onnx"),
    "unknown operator of the runtime": (
        lambda: models.of_operator("Frobnicate", domain="com.microsoft"), "the runtime cannot load it: "
    ),
    "opset of the future": (lambda: opset(999), "opset 999 is not supported; use 7 to "),
    "opset of the past": (lambda: opset(3), "opset 3 is not supported"),
    "huge weights": (huge_weights, "the weights 'w' would need 4,194,304 MB for one row; the limit"),
    "short weights": (short_weights, "the weights 'w' should have 128 bytes [8, 4], and have 4"),
    "huge input": (huge_input, "the tensor 'x' would need 4,096 MB for one row"),
    "cycle": (cycle, "the graph is not valid: Nodes in a graph must be topologically sorted"),
    "unknown name": (unknown_name, "the graph is not valid: "),
    "shapes that do not fit": (wrong_shapes, "the runtime cannot load it: "),
    "a sequence": (sequence, "output 'y' is of type sequence; only tensors"),
    "a type without NumPy": (bfloat16, "output 'y' is bfloat16"),
    "text without rows": (text, "input 'x' is text, which cannot be made"),
    "outputs that are not finite": (infinite, "output 'y' is not finite in FP32 with synthetic rows"),
    "outputs by chance": (chance, "output 'y' differs between two runs of the same rows"),
    "stack overflow": (models.deep_tree, "signal 11"),
    "arithmetic error of the CPU": (models.divides_lowest, "signal 8"),
    "more memory than there is": (lambda: models.grows(400 * MIB), "memory above 512 MB"),
}  # fmt: skip


# What is refused before the runtime sees it, without a process for each.
REFUSED_UNSEEN: dict[str, tuple[Callable[[], ModelProto], str]] = {
    "external data of a training": (training_outside, "are in another file ('/etc/passwd')"),
    "a name for terminals": (lambda: named("\x1b[31my"), "the output '\\x1b[31my' has no name"),
    "a very long name": (lambda: named("y" * 257), "no name that can be shown: it must have 1 to 256"),
    "very many outputs": (many_outputs, "the graph has 1001 outputs; the limit is 1000"),
    "an axis of nothing": (no_values, "input 'x' has an axis of size 0"),
    "a constant that explodes": (lambda: folded(2**32), "the tensor 'large' would need 16,384 MB"),
    "a function that calls itself": (recursive, "Model-local functions must not be recursive"),
}


@pytest.mark.parametrize("case", REFUSED_UNSEEN)
def test_refused_unseen(case: str) -> None:
    """Each for its own reason; what the runtime would do with it does not matter."""
    make, reason = REFUSED_UNSEEN[case]
    with pytest.raises(NotUsable, match=re.escape(reason)):
        check_upload(make().SerializeToString(), 256 * MIB)


@pytest.mark.parametrize("case", REFUSED)
def test_refused(tmp_path: Path, case: str) -> None:
    """What cannot be used is rejected with its own reason, and leaves no file behind."""
    make, reason = REFUSED[case]
    made = make()
    digest = put(tmp_path, made if isinstance(made, bytes) else made.SerializeToString())
    report = examined(tmp_path, made)
    assert (report["state"], report["variants"]) == ("rejected", [])
    assert reason in str(report["reason"])
    assert [each for each in tmp_path.iterdir() if each.name != ".incoming"] == [tmp_path / digest]


def test_each_reason_is_its_own() -> None:
    """No two kinds of bad upload are told apart by nothing; there are more than twenty."""
    reasons = [reason for _, reason in (*REFUSED.values(), *REFUSED_UNSEEN.values())]
    assert len(reasons) >= 20
    assert len(set(reasons)) >= len(reasons) - 2  # three are the runtime's or the checker's own words


def test_time(tmp_path: Path) -> None:
    """A model that never ends is ended."""
    report = examined(tmp_path, models.endless(), time_limit_s=3.0)
    # A step gets half of what is left, which is less on a busy machine.
    assert re.match(r"time above [0-9.]+ s", str(report["reason"]))


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


LINEAR = models.linear()
ROWS = np.zeros((4, 8), np.float32)
DATA: dict[str, tuple[bytes, str]] = {
    "no archive": (b"1,2,3", "heldout: not an .npz file"),
    "one array": (
        npy(ROWS),
        "heldout: a .npy file, where an .npz is needed: numpy.savez(FILE, **{'x': array})",
    ),
    "another name": (npz(z=ROWS), "heldout: no array for input 'x'; it has z"),
    "one too many": (npz(x=ROWS, z=ROWS), "heldout: 'z' is not an input"),
    "another type": (npz(x=ROWS.astype(np.float64)), "heldout: input 'x' must be float32, not float64"),
    "another shape": (npz(x=ROWS[:, :3]), "heldout: input 'x' must have the shape ['n', 8], not [4, 3]"),
    "objects": (npz(x=np.array([[{}]], dtype=object)), "heldout: input 'x': Python objects are not read"),
    "labels of other rows": (npz(x=ROWS, labels=np.zeros(3, int)), "heldout: the arrays differ in rows"),
    "labels that are fractions": (npz(x=ROWS, labels=np.zeros(4)), "heldout: labels must be whole numbers"),
    "no rows": (npz(x=ROWS[:0]), "heldout: it has no rows"),
    "one row": (npz(x=ROWS[:1]), "the given data has 1 row; at least 2 are needed"),
    "the same row": (npz(x=ROWS), "heldout: every row calibrates, too"),
}


@pytest.mark.parametrize("case", DATA)
def test_refused_data(tmp_path: Path, case: str) -> None:
    """Data that does not fit the model is refused with what is wrong with it."""
    data, reason = DATA[case]
    file = tmp_path / "heldout.npz"
    file.write_bytes(data)
    inputs: list[TensorShape] = [{"name": "x", "dtype": "float32", "shape": ["n", 8]}]
    with pytest.raises(NotUsable, match=re.escape(reason)):
        prepare(None, file, inputs, LINEAR.graph, "dynamic")


def test_a_model_with_data_that_does_not_fit(tmp_path: Path) -> None:
    """Such data rejects the version, since nothing could judge its variants."""
    assert examined(tmp_path, LINEAR, heldout=npz(z=ROWS))["reason"] == DATA["another name"][1]


def test_a_missing_blob(tmp_path: Path) -> None:
    """A file that is not there is no fault of the model: it raises."""
    with pytest.raises(BlobMissing):
        examine(ExaminationJob("0" * 64), tmp_path, lambda part, text: None)
    assert list(tmp_path.iterdir()) == []


def test_leftovers_of_the_killed(tmp_path: Path) -> None:
    """The folder of a process that was killed is removed by the next examination."""
    left = tmp_path / ".examination-999999999-abc"
    left.mkdir()
    (left / "model.onnx").write_bytes(b"1")
    put(tmp_path, b"")
    assert examined(tmp_path, b"")["reason"] == "the file is empty"
    assert not left.exists()


def test_the_models_are_what_they_claim() -> None:
    """The checker finds nothing wrong with what kills the runtime: no check of files can stop it."""
    for model in (models.deep_tree(100), models.divides_lowest(), models.grows(10), models.endless()):
        onnx.checker.check_model(model)
