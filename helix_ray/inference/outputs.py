"""The outputs of a model, batch by batch, and the forms in which a result has them.

    json       nested lists by output name
    npy        a .npy file for each output
    parquet    one file with a column for each output; an output of several numbers for a row is a list of
               them, in C order
    jsonl      one file with a line for each row: an object by output name

Files are in the result, in base64; `arrays_of` reads all forms back.
"""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import orjson

from helix_ray.core.inference_result import InferenceResult, OutputFile
from helix_ray.inference.errors import InferenceRefused
from helix_ray.inference.tensors import Array, decoded, encode

OUTPUT_BYTES_MAX = 256 << 20
"""Most bytes of outputs of one attempt, as arrays; of larger ones each shard writes its own."""


class Outputs:
    """Collects the outputs of batches in order."""

    def __init__(self, names: Sequence[str]) -> None:
        self._batches: dict[str, list[Array]] = {name: [] for name in names}
        self._bytes = 0

    def add(self, arrays: Mapping[str, Array]) -> None:
        """Add the outputs of a batch; raises InferenceRefused beyond OUTPUT_BYTES_MAX."""
        for name, array in arrays.items():
            self._batches[name].append(array)
            self._bytes += array.nbytes
        if self._bytes > OUTPUT_BYTES_MAX:
            raise InferenceRefused(
                f"the outputs have more than {OUTPUT_BYTES_MAX} bytes: split the rows into (more) shards"
            )

    def result(self, form: str) -> InferenceResult:
        """Return `shapes` and, by form, `outputs` or `files`; NaN and infinity are null in JSON."""
        arrays = {name: _whole(batches) for name, batches in self._batches.items()}
        shapes = {name: list(array.shape) for name, array in arrays.items()}
        if form == "json":
            return {
                "outputs": {name: encode(array) for name, array in arrays.items()},
                "shapes": shapes,
            }
        return {"files": _FORMS[form](arrays), "shapes": shapes}


def arrays_of(result: Mapping[str, Any]) -> dict[str, Array]:
    """Return the outputs of a result as arrays by name, the files of shards one after another.

    Numbers of JSON and JSON lines are float64 or int64; null is NaN, also where it was infinity. Raises
    ValueError for a result without outputs.
    """
    if "outputs" in result:
        return {name: decoded(value) for name, value in result["outputs"].items()}
    if "files" not in result:
        raise ValueError("the result has no outputs")
    parts: dict[str, list[Array]] = {}
    for file in result["files"]:
        data = base64.b64decode(file["base64"])
        for name, array in _READERS[file["format"]](data, file).items():
            parts.setdefault(name, []).append(array)
    return {name: _whole(arrays) for name, arrays in parts.items()}


def _whole(batches: Sequence[Array]) -> Array:
    filled = [batch for batch in batches if len(batch)] if len(batches) > 1 else batches
    if len(filled) <= 1:
        return filled[0] if filled else batches[0]
    return np.concatenate(filled)


def _file(name: str, form: str, data: bytes, shapes: Mapping[str, Sequence[int]]) -> OutputFile:
    return {
        "name": name,
        "format": form,
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "shapes": {output: list(shape) for output, shape in shapes.items()},
        "base64": base64.b64encode(data).decode(),
    }


def _npy_files(arrays: Mapping[str, Array]) -> list[OutputFile]:
    files = []
    for name, array in arrays.items():
        stream = io.BytesIO()
        np.save(stream, array.astype(str) if array.dtype.hasobject else array, allow_pickle=False)
        files.append(_file(f"{name}.npy", "npy", stream.getvalue(), {name: array.shape}))
    return files


def _line_files(arrays: Mapping[str, Array]) -> list[OutputFile]:
    columns = {name: encode(array) for name, array in arrays.items()}
    rows = zip(*columns.values(), strict=True)
    lines = b"".join(orjson.dumps(dict(zip(columns, row, strict=True))) + b"\n" for row in rows)
    return [_file("outputs.jsonl", "jsonl", lines, _shapes(arrays))]


def _table_files(arrays: Mapping[str, Array]) -> list[OutputFile]:
    from helix_ray.inference.table_file import written

    return [_file("outputs.parquet", "parquet", written(arrays), _shapes(arrays))]


def _shapes(arrays: Mapping[str, Array]) -> dict[str, Sequence[int]]:
    return {name: array.shape for name, array in arrays.items()}


def _read_npy(data: bytes, file: Mapping[str, Any]) -> dict[str, Array]:
    (name,) = file["shapes"]
    return {name: np.load(io.BytesIO(data), allow_pickle=False)}


def _read_lines(data: bytes, file: Mapping[str, Any]) -> dict[str, Array]:
    rows = [orjson.loads(line) for line in data.splitlines()]
    return {
        name: decoded([row[name] for row in rows]).reshape(shape) for name, shape in file["shapes"].items()
    }


def _read_table(data: bytes, file: Mapping[str, Any]) -> dict[str, Array]:
    from helix_ray.inference.table_file import read

    return read(data, file["shapes"])


_FORMS = {"npy": _npy_files, "parquet": _table_files, "jsonl": _line_files}
_READERS = {"npy": _read_npy, "parquet": _read_table, "jsonl": _read_lines}
