"""What is refused at a submit by a look at its beginning is refused by every node as well."""

from __future__ import annotations

import io
from base64 import b64encode
from itertools import product
from typing import Any

import numpy as np
import pytest

from helix_ray.core.declared_inputs import NPY_TYPES, declared_of, inputs_breach
from helix_ray.inference.errors import InferenceRefused
from helix_ray.inference.tensors import TensorSpec, by_rows, decode

Shape = tuple[int | str | None, ...]
SHAPES: tuple[Shape, ...] = ((), (None,), ("n", 2), (1, 2, None))
LISTS: tuple[Any, ...] = (
    1, 1.5, True, "a", None, {}, {"x": 1}, [], [[]], [1, 2], [1.5], [True], [True, 2], ["a"], [1, "a"],
    [None], [[1, 2]], [[1.5, 2]], [[1, 2.5]], [["a", "b"]], [[True, False]],
    [[1, 2, 3]], [[[1], [2]]], [[[1.5], [2]]],
    [[1, 2], [3]], [[[[1]]]], [{}], [[None]], [2**70],
)  # fmt: skip


def nested(axes: int) -> Any:
    value: Any = 1
    for _ in range(axes):
        value = [value]
    return value


def npy(array: Any) -> dict[str, str]:
    file = io.BytesIO()
    np.save(file, array)
    return {"npy_base64": b64encode(file.getvalue()).decode()}


FILES = tuple(
    npy(np.zeros(shape, dtype))
    for shape, dtype in product(((), (2,), (3, 2), (1, 2, 4)), ("<f4", ">f4", "<f8", "<i8", "|b1", "<U3"))
)
ODD_FILES: tuple[Any, ...] = (
    {"npy_base64": "?"},
    {"npy_base64": 3},
    {"npy_base64": ""},
    {"npy_base64": "AAAA"},
)


def accepts(value: Any, spec: TensorSpec) -> bool:
    """Say whether a node accepts a value as a batch of any size, or at once."""
    ways = [lambda: decode(value, (spec,)), lambda: decode(value, by_rows((spec,)))]
    for way in ways:
        try:
            way()
        except InferenceRefused:
            continue
        return True
    return False


@pytest.mark.parametrize("dtype", [*NPY_TYPES, "str"])
@pytest.mark.parametrize("shape", SHAPES)
def test_nothing_is_refused_that_a_node_accepts(dtype: str, shape: Shape) -> None:
    """Over all forms of values; of what nodes refuse, hardly anything but mixed and ragged lists passes."""
    declared = declared_of([{"name": "x", "dtype": dtype, "shape": [*shape]}])
    spec = TensorSpec("x", dtype, shape)
    passed = []
    for value in (*LISTS, nested(40), *FILES, *ODD_FILES):
        why = inputs_breach(value, declared)
        if accepts(value, spec):
            assert why is None, (value, why)
        elif why is None:
            passed.append(value)
    assert len(passed) <= 8, passed


def test_inputs_are_compared_by_name() -> None:
    """Several inputs must be given by name, none too few and none too many."""
    declared = declared_of([{"name": name, "dtype": "int64", "shape": [None, 2]} for name in ("ids", "mask")])
    good = [[1, 2]]
    assert inputs_breach({"ids": good, "mask": good}, declared) is None
    assert inputs_breach(good, declared) == "the model has 2 inputs: give them by name: ids, mask"
    assert inputs_breach({"ids": good}, declared) == "missing inputs: mask"
    assert "unknown inputs: masks; the model's inputs are ids, mask" in str(
        inputs_breach({"ids": good, "masks": good}, declared)
    )
    assert (
        inputs_breach({"ids": good, "mask": [[0.5, 1]]}, declared)
        == "input 'mask': the model expects int64, not fractions"
    )
    assert declared_of([{"name": "x"}]) == []
