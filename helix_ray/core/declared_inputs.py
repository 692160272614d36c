"""Whether inputs can be those that a model declares, as far as a look at their beginning tells.

Nodes decode inputs fully (inference/tensors.py). This refuses only what none of them would accept, at a cost
that does not grow with the number of rows: names, the number of axes, sizes that are fixed, and the type of
the first value. The first axis is left to them: what it counts depends on the batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from helix_ray.core.model_inputs import NPY, NotSplittable, header_of
from helix_ray.core.model_records import TensorRecord
from helix_ray.core.names import first_names

# The types of .npy files by numpy's names, without their byte order.
NPY_TYPES = {
    "float16": "f2", "float32": "f4", "float64": "f8", "bool": "b1", "int8": "i1", "int16": "i2",
    "int32": "i4", "int64": "i8", "uint8": "u1", "uint16": "u2", "uint32": "u4", "uint64": "u8",
}  # fmt: skip
TEXT = "str"
# Nested lists that are deeper are left to the nodes.
AXES_MAX = 32


def inputs_breach(inputs: Any, declared: Sequence[TensorRecord]) -> str | None:
    """Return why no node accepts these inputs; None where one may."""
    names = [each["name"] for each in declared]
    named = isinstance(inputs, dict) and set(inputs) != {NPY}
    if not named:
        if len(names) != 1:
            return f"the model has {len(names)} inputs: give them by name: {first_names(names)}"
        inputs = {names[0]: inputs}
    if unknown := sorted(set(map(str, inputs)) - set(names)):
        return f"unknown inputs: {first_names(unknown)}; the model's inputs are {first_names(names)}"
    if missing := [name for name in names if name not in inputs]:
        return f"missing inputs: {first_names(missing)}"
    found = (_breach_of(inputs[each["name"]], each) for each in declared)
    return next((why for why in found if why is not None), None)


def _breach_of(value: Any, declared: TensorRecord) -> str | None:
    name, dtype, wanted = declared["name"], declared["dtype"], declared["shape"]
    is_file = isinstance(value, dict) and set(value) == {NPY}
    if not is_file and (value is None or isinstance(value, dict)):
        return f"input {name!r}: it must be nested lists or {{'{NPY}': text}}"
    try:
        shape, kind = _of_file(value[NPY]) if is_file else _of_lists(value)
    except NotSplittable as error:
        return f"input {name!r}: {error}"
    if shape is None:
        return None
    if not _is_shape(shape, wanted):
        return f"input {name!r}: the model expects {_shown(wanted)}, not {_shown(shape)}"
    if kind is not None and not (_is_type(kind, dtype) if is_file else _may_be(kind, dtype)):
        return f"input {name!r}: the model expects {dtype}, not {kind}"
    return None


def _of_file(text: Any) -> tuple[list[int] | None, str | None]:
    descr, shape = header_of(text)
    return [*shape], str(descr).lstrip("<>|=")


def _of_lists(value: Any) -> tuple[list[int] | None, str | None]:
    """Return the sizes along the first element of each axis, and the kind of the first value; None for what
    is not known."""
    shape: list[int] = []
    while isinstance(value, list | tuple):
        shape.append(len(value))
        if not value:
            return (shape if len(shape) > 1 else None), None
        if len(shape) > AXES_MAX:
            return None, None
        value = value[0]
    kinds = {str: "text", float: "fractions", int: "integers"}
    return shape, kinds.get(type(value))


def _is_shape(shape: Sequence[int], wanted: Sequence[int | str | None]) -> bool:
    if len(shape) != len(wanted):
        return False
    return all(
        not isinstance(want, int) or size == want for size, want in zip(shape[1:], wanted[1:], strict=True)
    )


def _is_type(descr: str, dtype: str) -> bool:
    if dtype == TEXT:
        return descr.startswith("U")
    return NPY_TYPES.get(dtype, descr) == descr


def _may_be(kind: str, dtype: str) -> bool:
    """Say whether values of which the first is of a kind can be converted: the others may widen it."""
    if kind == "text":
        return dtype == TEXT or dtype not in NPY_TYPES
    if kind == "fractions":
        return dtype == TEXT or dtype.startswith("float") or dtype not in NPY_TYPES
    return dtype != "bool"


def _shown(shape: Sequence[int | str | None]) -> str:
    return "[" + ", ".join("?" if size is None else str(size) for size in shape) + "]"


def declared_of(records: Sequence[Mapping[str, Any]]) -> list[TensorRecord]:
    """Return the inputs that an examination found, where it found names, types and shapes of all of them."""
    whole = all(each.keys() >= {"name", "dtype", "shape"} for each in records)
    return (
        [{"name": each["name"], "dtype": each["dtype"], "shape": each["shape"]} for each in records]
        if whole
        else []
    )
