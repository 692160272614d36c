"""Opens and runs a file that is examined, in the child only: on the CPU, one thread, no spinning."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from helix_ray.inference.tensors import dtype_of
from helix_ray.inference.variants import TensorShape

__all__ = [
    "NamedRows",
    "NotBuilt",
    "NotUsable",
    "feeds",
    "open_candidate",
    "out_of_memory",
    "run",
    "shapes",
    "words",
]

Array = NDArray[Any]
Feed = dict[str, Array]

ROWS_PER_RUN = 32
"""Rows of a run where the model takes any number; fewer where its tensors are large."""

_PREFIX = re.compile(r"^\[ONNXRuntimeError\] : \d+ : [A-Z_]+ : ")
_PLACE = re.compile(r"/onnxruntime_src/\S+ (?:[\w:~<>*&\[\], ]+\([^)]*\)(?: const)?(?: \[with .*?\])? ?)?")
_NODE = re.compile(
    r"Non-zero status code returned while running (\w+) node\. Name:'([^']*)' Status Message: "
)
# The path is that of a folder which is gone when somebody reads it.
_LOADING = re.compile(r"Load model from \S+ failed:\s*")
_STATUS = re.compile(r"status\.IsOK\(\) was false\. ")
_WORDS_MAX = 300
_OUT_OF_MEMORY = ("bad_alloc", "bad allocation", "Failed to allocate memory")


class NotUsable(Exception):
    """The model or its data cannot be used; the message is the reason."""


class NotBuilt(Exception):
    """A variant cannot be made of this model; the message is the reason."""


@dataclass(frozen=True, slots=True)
class NamedRows:
    """Inputs by name, of equal length along axis 0, optionally the classes of the rows, and where they come
    from.

    For a model whose batch is `none`, axis 0 counts calls, and what follows is the input of a call. `per_run`
    is how many of them are run together where the batch is dynamic, `unread` how many more the file has.
    """

    arrays: Feed
    labels: Array | None
    data: Literal["given", "synthetic"]
    per_run: int = ROWS_PER_RUN
    unread: int = 0

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    def part(self, start: int, end: int | None) -> NamedRows:
        """Return some of the rows."""
        labels = None if self.labels is None else self.labels[start:end]
        arrays = {name: array[start:end] for name, array in self.arrays.items()}
        return replace(self, arrays=arrays, labels=labels)


def open_candidate(
    model: Path | bytes, *, optimize: bool = True, in_order: bool = False
) -> onnxruntime.InferenceSession:
    """Return a session; `optimize=False` computes each node as it stands, `in_order` one after the other as
    the file has them, as far as that is possible. Raises NotUsable."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4  # fatal: what goes wrong is raised
    if in_order:
        # By itself the runtime goes backwards from the outputs, and keeps what the last ones need.
        options.execution_order = onnxruntime.ExecutionOrder.PRIORITY_BASED
    if not optimize:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    source = str(model) if isinstance(model, Path) else model
    try:
        return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's exceptions have no common base
        raise_out_of_memory(error)
        raise NotUsable(f"the runtime cannot load it: {words(error)}") from error


def run(session: onnxruntime.InferenceSession, feed: Feed) -> list[Array]:
    """Return the outputs in the model's order; raises NotUsable."""
    try:
        return [np.asarray(each) for each in session.run(None, feed)]
    except Exception as error:  # as above
        raise_out_of_memory(error)
        raise NotUsable(f"the runtime cannot run it: {words(error)}") from error


def shapes(arguments: Any) -> list[TensorShape]:
    """Return the inputs or outputs of a session."""
    return [
        {"name": each.name, "dtype": dtype_of(each.type), "shape": list(each.shape)} for each in arguments
    ]


def feeds(rows: NamedRows, batch: str) -> Iterator[tuple[Feed, Array | None]]:
    """Yield the runs that a model's batch allows, and the classes of their rows; a rest that does not fill a
    fixed batch is left out."""
    if batch == "none":
        for call in range(len(rows)):
            yield {name: array[call] for name, array in rows.arrays.items()}, None
        return
    size = rows.per_run if batch == "dynamic" else int(batch.split()[1])
    for start in range(0, len(rows), size):
        part = rows.part(start, start + size)
        if batch == "dynamic" or len(part) == size:
            yield part.arrays, part.labels


def words(error: BaseException) -> str:
    """Return what an error of ONNX or its runtime says, on one line and without places in its source."""
    text = _LOADING.sub("", _PREFIX.sub("", " ".join(str(error).split())))
    text = _PLACE.sub("", _PREFIX.sub("", _STATUS.sub("", text)))
    text = _NODE.sub(r"\1 \2: ", text).replace(" : ", ": ", 1)
    return text[:_WORDS_MAX] or type(error).__name__


def out_of_memory(error: BaseException) -> bool:
    """Say whether an error means that an allocation failed, which the child's limit makes it do."""
    return isinstance(error, MemoryError) or any(sign in str(error) for sign in _OUT_OF_MEMORY)


def raise_out_of_memory(error: Exception) -> None:
    """Raise MemoryError for such an error: it ends the child, and its parent names the limit."""
    if out_of_memory(error):
        raise MemoryError(str(error)) from error
