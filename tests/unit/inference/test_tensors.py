"""Request values to arrays, for every kind of element type."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from helix_ray.inference.errors import BadInput, InferenceRefused
from helix_ray.inference.tensors import TensorSpec, decode, decoded, dtype_of, encode


def one(value: Any, dtype: str, shape: tuple[int | str | None, ...] = ("n",)) -> Any:
    return decode(value, [TensorSpec("x", dtype, shape)])["x"]


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        ([1, 2], "int64"),
        ([0, 255], "uint8"),
        ([2**64 - 1], "uint64"),
        ([0.5, 1], "float16"),
        ([True, False], "bool"),
        (["a", "ü"], "str"),
    ],
)
def test_lists_of_every_type(value: list[Any], dtype: str) -> None:
    """JSON values become the model's type and come back the same."""
    array = one(value, dtype)
    assert array.dtype == (np.dtype(object) if dtype == "str" else np.dtype(dtype))
    assert encode(array) == value


@pytest.mark.parametrize(
    ("value", "dtype", "words"),
    [
        ([0, 256], "uint8", "the model expects uint8, not integers 0 to 256"),
        ([-1], "uint64", "not integers -1 to -1"),
        ([1.5], "int64", "the model expects int64, not fractions"),
        ([1], "bool", "the model expects bool, not integers 1 to 1"),
        ([1], "str", "the model expects text"),
        ([1, "a"], "float32", "not text"),
        ({"a": [1]}, "int64", "unknown inputs: a"),
    ],
)
def test_values_that_would_change_are_refused(value: Any, dtype: str, words: str) -> None:
    """Nothing is rounded, wrapped or guessed."""
    with pytest.raises(BadInput, match=words):
        one(value, dtype)


def test_dimensions_of_one_name_agree() -> None:
    """A batch has one size across all inputs; a nameless dimension is free."""
    specs = [TensorSpec("a", "int64", ("batch",)), TensorSpec("b", "int64", ("batch", None))]
    assert decode({"a": [1, 2], "b": [[1], [2]]}, specs)["b"].shape == (2, 1)
    with pytest.raises(BadInput, match=r"the model expects \[batch, \?\], not \[1, 1\]"):
        decode({"a": [1, 2], "b": [[1]]}, specs)
    with pytest.raises(BadInput, match="2 inputs: give them by name: a, b"):
        decode([1], specs)


def test_scalars_and_empty_batches() -> None:
    """A number is an array without dimensions; an empty list is a batch of none."""
    assert one(3, "int64", ()).shape == ()
    assert one([], "float32").shape == (0,)


def test_types_that_no_request_can_carry() -> None:
    """A type that numpy lacks is refused by name."""
    assert dtype_of("tensor(bfloat16)") == "tensor(bfloat16)"
    with pytest.raises(InferenceRefused, match="bfloat16"):
        one([1.0], dtype_of("tensor(bfloat16)"))


def test_outputs_that_json_cannot_carry() -> None:
    """NaN and infinity are null (and told beside the outputs), and NaN again when they are read."""
    listed = encode(np.array([[0.5], [np.inf]], np.float32))
    assert listed == [[0.5], [None]]
    assert np.array_equal(decoded(listed), [[0.5], [np.nan]], equal_nan=True)
