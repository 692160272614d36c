"""Inputs of a sharded inference are split by rows; what has none is refused."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helix_ray.core.model_inputs import NotSplittable, row_count, row_range, split


def npy(array: Any, **more: Any) -> dict[str, str]:
    file = io.BytesIO()
    np.save(file, array, **more)
    return {"npy_base64": base64.b64encode(file.getvalue()).decode()}


def array_of(value: Any) -> Any:
    return np.load(io.BytesIO(base64.b64decode(value["npy_base64"])), allow_pickle=False)


@given(rows=st.integers(0, 500), count=st.integers(1, 40))
def test_the_ranges_of_shards_are_all_rows_once(rows: int, count: int) -> None:
    """They follow each other, and no shard has two rows more than another."""
    ranges = [row_range(rows, index, count) for index in range(count)]
    assert [number for start, stop in ranges for number in range(start, stop)] == list(range(rows))
    sizes = [stop - start for start, stop in ranges]
    assert max(sizes) - min(sizes) <= 1


@given(data=st.data(), rows=st.integers(1, 40))
def test_any_inputs_come_back_together(data: st.DataObject, rows: int) -> None:
    """Lists and .npy files, single or by name, of any element type: the rows of all shards are the inputs."""
    count = data.draw(st.integers(1, rows))
    dtype = data.draw(st.sampled_from(["<f4", ">f4", "<f8", "<f2", "|i1", "<i8", "|b1", "<U3"]))
    tail = tuple(data.draw(st.lists(st.integers(0, 3), max_size=2)))
    array = np.arange(rows * int(np.prod(tail, dtype=int))).reshape(rows, *tail).astype(dtype)
    inputs = {"a": npy(array), "b": array.tolist()}
    parts = list(split(inputs, count))
    assert len(parts) == count
    assert [row for part in parts for row in part["b"]] == array.tolist()
    joined = np.concatenate([array_of(part["a"]) for part in parts])
    assert (joined.dtype, joined.tolist()) == (array.dtype.newbyteorder("="), array.tolist())
    alone = np.concatenate([array_of(part) for part in split(inputs["a"], count)])
    assert alone.tolist() == array.tolist()


def cut_off(array: Any) -> dict[str, str]:
    data = base64.b64decode(npy(array)["npy_base64"])[:-1]
    return {"npy_base64": base64.b64encode(data).decode()}


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        (3, "the input: it has no rows"),
        ("text", "has no rows"),
        ({"x": [1, 2], "y": 0.5}, "y: it has no rows"),
        ({"x": [1, 2], "y": [1]}, "the same number of rows: x has 2, y has 1"),
        ({}, "there are none"),
        ({"npy_base64": "?"}, "not valid base64"),
        ({"npy_base64": 3}, "not valid base64"),
        ({"npy_base64": base64.b64encode(b"PK\x03\x04" * 9).decode()}, "not a .npy file"),
        (npy(np.zeros(())), "a single value"),
        (npy(np.asfortranarray(np.zeros((3, 4)))), "Fortran order"),
        (npy(np.array([{}]), allow_pickle=True), "has no rows of numbers"),
        (npy(np.zeros(2, [("a", "f4")])), "has no rows of numbers"),
        (cut_off(np.zeros((2, 2))), "but the data has another size"),
    ],
)
def test_what_has_no_rows_is_named(inputs: Any, words: str) -> None:
    """The message says which input, and why."""
    with pytest.raises(NotSplittable, match=words):
        row_count(inputs)


def test_there_is_a_row_for_every_shard() -> None:
    """Fewer rows than shards cannot be split."""
    with pytest.raises(NotSplittable, match="2 rows cannot be split into 3 shards"):
        list(split([[1], [2]], 3))
