"""Converts request values to the arrays of a model, and back; every refusal names what
came and what is expected."""

from __future__ import annotations

import base64
import binascii
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from helix_ray.core.names import first_names
from helix_ray.inference.errors import BadInput, InferenceRefused
from helix_ray.inference.numpy_files import read_header

Array: TypeAlias = NDArray[Any]

NPY_MAGIC = b"\x93NUMPY"

_DTYPES: dict[str, str] = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(bool)": "bool",
    "tensor(int8)": "int8",
    "tensor(int16)": "int16",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(uint8)": "uint8",
    "tensor(uint16)": "uint16",
    "tensor(uint32)": "uint32",
    "tensor(uint64)": "uint64",
    "tensor(string)": "str",
}
"""ONNX Runtime's names of element types to numpy's."""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """An input or output: numpy's name of the element type, and the shape, where a
    string or None means any size."""

    name: str
    dtype: str
    shape: tuple[int | str | None, ...]


def dtype_of(onnx_type: str) -> str:
    """Return numpy's name of an ONNX Runtime type; a type that numpy lacks keeps its name."""
    return _DTYPES.get(onnx_type, onnx_type)


def decode(inputs: Any, specs: Sequence[TensorSpec]) -> dict[str, Array]:
    """Return an array for each input of the model; raises BadInput.

    `inputs` is {name: value}, or a bare value for a model with one input. A value is nested lists or
    {"npy_base64": text} with a .npy file. Lists are converted to the model's element type where that is
    exact; a .npy must have it already. Dimensions that share a symbolic name must agree.
    """
    named = _by_name(inputs, specs)
    sizes: dict[str, int] = {}
    return {spec.name: _check(_array(named[spec.name], spec), spec, sizes) for spec in specs}


def by_rows(specs: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
    """Return the specs of inputs of any number of rows, whatever batch the model wants; raises BadInput for
    a model with an input that has no axis for them."""
    if bare := next((spec for spec in specs if not spec.shape), None):
        raise BadInput(f"input {bare.name!r} has no axis for rows, so the model cannot be run in batches")
    return tuple(TensorSpec(spec.name, spec.dtype, ("rows", *spec.shape[1:])) for spec in specs)


def checked(arrays: Mapping[str, Array], specs: Sequence[TensorSpec]) -> dict[str, Array]:
    """Return arrays of the specs' shapes and element types (`converted`); raises BadInput."""
    sizes: dict[str, int] = {}
    return {spec.name: _check(converted(arrays[spec.name], spec), spec, sizes) for spec in specs}


def converted(array: Array, spec: TensorSpec) -> Array:
    """Return values in the element type of an input: integers in its range, integers or fractions as floats,
    texts, or true and false; raises BadInput for others."""
    if spec.dtype == "str":
        return array if array.dtype.kind == "O" else _strings(array, spec)
    if array.dtype == np.dtype(spec.dtype):
        return array
    if not _fits(array, np.dtype(spec.dtype)):
        raise BadInput(f"input {spec.name!r}: the model expects {spec.dtype}, not {_kind(array)}")
    return array.astype(spec.dtype)


def encode(array: Array) -> Any:
    """Return the array as nested lists, with None for NaN and infinity, which JSON lacks."""
    if array.dtype.kind == "f" and not (finite := np.isfinite(array)).all():
        array = array.astype(object)
        array[~finite] = None
    return array.tolist()


def decoded(value: Any) -> Array:
    """Return nested lists as an array, with NaN for None."""
    array = np.asarray(value)
    return array.astype(np.float64) if array.dtype.hasobject else array


def _by_name(inputs: Any, specs: Sequence[TensorSpec]) -> Mapping[str, Any]:
    if not isinstance(inputs, dict) or set(inputs) == {"npy_base64"}:
        if len(specs) != 1:
            names = ", ".join(spec.name for spec in specs)
            raise BadInput(f"the model has {len(specs)} inputs: give them by name: {names}")
        return {specs[0].name: inputs}
    known = {spec.name for spec in specs}
    if unknown := sorted(map(str, inputs.keys() - known)):
        raise BadInput(
            f"unknown inputs: {first_names(unknown)}; the model's inputs are {first_names(sorted(known))}"
        )
    if missing := sorted(known - inputs.keys()):
        raise BadInput(f"missing inputs: {first_names(missing)}")
    return inputs


def _array(value: Any, spec: TensorSpec) -> Array:
    if spec.dtype not in _DTYPES.values():
        raise InferenceRefused(
            f"input {spec.name!r}: the model expects {spec.dtype}, which a request cannot carry"
        )
    if isinstance(value, dict):
        if set(value) != {"npy_base64"}:
            raise BadInput(f"input {spec.name!r}: an object must be {{'npy_base64': text}}")
        return _from_npy(value["npy_base64"], spec)
    return _from_lists(value, spec)


def _from_lists(value: Any, spec: TensorSpec) -> Array:
    if not isinstance(value, list | tuple | int | float | bool | str):
        raise BadInput(f"input {spec.name!r}: it must be nested lists, not {type(value).__name__}")
    try:
        array = np.asarray(value)
    except ValueError:
        raise BadInput(f"input {spec.name!r}: the nested lists must have equal lengths") from None
    except OverflowError:
        raise BadInput(f"input {spec.name!r}: an integer does not fit in 64 bits") from None
    return converted(array, spec)


def _strings(array: Array, spec: TensorSpec) -> Array:
    if array.dtype.kind != "U":
        raise BadInput(f"input {spec.name!r}: the model expects text, not {_kind(array)}")
    return array.astype(object)


def _fits(array: Array, wanted: np.dtype[Any]) -> bool:
    """Say whether JSON values can be converted to a type: integers in its range, or integers to floats."""
    if array.size == 0:
        return True
    given = array.dtype.kind
    if wanted.kind == "f":
        return given in "iuf"
    if wanted.kind in "iu" and given in "iu":
        limits = np.iinfo(wanted)
        return bool(int(array.min()) >= limits.min and int(array.max()) <= limits.max)
    return wanted.kind == given == "b"


def _kind(array: Array) -> str:
    """Describe the type of JSON values for a message."""
    words = {"f": "fractions", "b": "true/false", "U": "text"}
    if array.dtype.kind in "iu":
        return f"integers {int(array.min())} to {int(array.max())}"
    return words.get(array.dtype.kind, "mixed values")


def _from_npy(text: Any, spec: TensorSpec) -> Array:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError, TypeError):
        raise BadInput(f"input {spec.name!r}: npy_base64 is not valid base64") from None
    array = _read_npy(data, spec)
    if spec.dtype == "str" and array.dtype.kind == "U":
        return array.astype(object)
    if array.dtype.newbyteorder("=") != np.dtype(spec.dtype):
        raise BadInput(f"input {spec.name!r}: the model expects {spec.dtype}, not {array.dtype}")
    return array.astype(spec.dtype, order="C", copy=False)


def _read_npy(data: bytes, spec: TensorSpec) -> Array:
    """Return the array of a .npy file; its declared size is compared with the data
    before memory is allocated."""
    if not data.startswith(NPY_MAGIC):
        raise BadInput(f"input {spec.name!r}: not a .npy file")
    file = io.BytesIO(data)
    try:
        shape, _, dtype = read_header(file)
    except (ValueError, EOFError) as error:
        raise BadInput(f"input {spec.name!r}: the .npy header cannot be read: {error}") from error
    if dtype.hasobject:
        raise BadInput(f"input {spec.name!r}: a .npy file of Python objects is not supported")
    if math.prod(shape) * dtype.itemsize != len(data) - file.tell():
        raise BadInput(
            f"input {spec.name!r}: the .npy header says {shape} of {dtype}, but the data has another size"
        )
    file.seek(0)
    array: Array = np.lib.format.read_array(file, allow_pickle=False)
    return array


def _check(array: Array, spec: TensorSpec, sizes: dict[str, int]) -> Array:
    wanted = f"the model expects {_shape(spec.shape)}"
    if array.ndim != len(spec.shape):
        raise BadInput(f"input {spec.name!r}: {wanted}, not {list(array.shape)}")
    for size, want in zip(array.shape, spec.shape, strict=True):
        expected = sizes.setdefault(want, size) if isinstance(want, str) else want
        if expected is not None and size != expected:
            raise BadInput(f"input {spec.name!r}: {wanted}, not {list(array.shape)}")
    return array


def _shape(shape: Sequence[int | str | None]) -> str:
    return "[" + ", ".join("?" if size is None else str(size) for size in shape) + "]"
