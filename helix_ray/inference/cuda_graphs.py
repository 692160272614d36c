"""Runs a session of the CUDA provider with CUDA graphs: the kernels of a whole run are launched at once.

A small batch spends most of its time in launching kernels one after the other. A CUDA graph is what one run
launched, recorded; to run it again is one launch. It reads and writes the same memory of the device each
time, so inputs are copied into buffers that stay, and outputs out of them.

Nothing of a recorded run may compute on the CPU, and exported models compute shapes there. So each graph has
a session of its own, opened with the sizes of its inputs fixed: then the runtime computes shapes while it
opens the model, and fuses more of it. That is a copy of the weights on the device for each set of shapes:
GRAPHS_MAX of them, least recently used first to go, and only of shapes that come twice in a row, which the
rest of a file's rows does not. Everything else runs in the session that was given, and everything does once
a graph could not be recorded.

One thread of the process runs all of this, in turn: the runtime keeps graphs by thread, and CUDA lets no
other thread use the device while one is recorded.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import onnxruntime

__all__ = ["GRAPHS_MAX", "GraphSession", "Reopen"]

GRAPHS_MAX = 4
"""Graphs of a session, each with a copy of the weights."""

Array = NDArray[Any]
_THREAD = ThreadPoolExecutor(1, "helix-cuda-graphs")
Reopen = Callable[[Mapping[str, int]], "onnxruntime.InferenceSession"]
"""Opens the model with CUDA graphs, and with these sizes for the free axes of its inputs, by their names."""


@dataclass(frozen=True, slots=True)
class _Recorded:
    """A session of fixed sizes, and the buffers on the device that are bound to its inputs and outputs."""

    session: onnxruntime.InferenceSession
    inputs: Mapping[str, Any]
    outputs: Sequence[Any]
    binding: Any


class GraphSession:
    """Stands in for the session that it is given. Several threads may call it: they wait for each other.

    `why_not` says why graphs cannot be recorded, None while they can. On the device `cpu` there are buffers,
    and no graphs.
    """

    def __init__(self, session: onnxruntime.InferenceSession, reopen: Reopen, device: str = "cuda") -> None:
        self.why_not: str | None = None
        self._session, self._reopen, self._device = session, reopen, device
        self._names = [each.name for each in session.get_outputs()]
        self._free = {each.name: list(each.shape) for each in session.get_inputs()}
        self._recorded: OrderedDict[object, _Recorded] = OrderedDict()
        self._before: object = None  # the shapes of the run before this one

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    @property
    def graphs(self) -> int:
        """How many sets of shapes have a graph."""
        return len(self._recorded)

    def run(self, wanted: Sequence[str] | None, feed: Mapping[str, Array]) -> list[Array]:
        """Return the outputs of these names, all by default; raises what the runtime raises."""
        return _THREAD.submit(self._run, list(wanted or self._names), feed).result()

    def _run(self, names: list[str], feed: Mapping[str, Array]) -> list[Array]:
        arrays = {name: np.ascontiguousarray(array) for name, array in feed.items()}
        shapes = (tuple(names), tuple((name, each.shape, each.dtype.str) for name, each in arrays.items()))
        is_again, self._before = shapes == self._before, shapes
        if shapes not in self._recorded and is_again and self.why_not is None and not _is_odd(arrays):
            self._record(shapes, names, arrays)
        if shapes in self._recorded:
            self._recorded.move_to_end(shapes)
            return self._replayed(self._recorded[shapes], arrays)
        found: list[Array] = self._session.run(names, arrays)
        return found

    def _record(self, shapes: object, names: Sequence[str], arrays: Mapping[str, Array]) -> None:
        """Keep a session for these shapes; where that fails, `why_not` says why."""
        while len(self._recorded) >= GRAPHS_MAX:
            self._recorded.popitem(last=False)
        try:
            session = self._reopen(self._sizes(arrays))
            self._recorded[shapes] = recorded = self._bound(session, names, arrays)
            self._replayed(recorded, arrays)
        except Exception as error:  # ONNX Runtime's exceptions have no common base
            self._recorded.pop(shapes, None)
            self.why_not = f"no CUDA graph can be recorded: {error}"

    def _sizes(self, arrays: Mapping[str, Array]) -> dict[str, int]:
        """Return the sizes of the free axes that have names."""
        return {
            axis: size
            for name, array in arrays.items()
            for axis, size in zip(self._free[name], array.shape, strict=True)
            if isinstance(axis, str)
        }

    def _bound(
        self, session: onnxruntime.InferenceSession, names: Sequence[str], arrays: Mapping[str, Array]
    ) -> _Recorded:
        """Run once without a graph, which says what the outputs are, and bind buffers for them. The next run
        records the graph."""
        import onnxruntime

        inputs = {
            name: onnxruntime.OrtValue.ortvalue_from_shape_and_type(each.shape, each.dtype, self._device, 0)
            for name, each in arrays.items()
        }
        first, binding = session.io_binding(), session.io_binding()
        for name, buffer in inputs.items():
            buffer.update_inplace(arrays[name])
            first.bind_ortvalue_input(name, buffer)
            binding.bind_ortvalue_input(name, buffer)
        for name in names:
            first.bind_output(name, self._device, 0)
        unrecorded = onnxruntime.RunOptions()
        unrecorded.add_run_config_entry("gpu_graph_id", "-1")
        session.run_with_iobinding(first, unrecorded)
        outputs = first.get_outputs()
        for name, buffer in zip(names, outputs, strict=True):
            binding.bind_ortvalue_output(name, buffer)
        return _Recorded(session, inputs, outputs, binding)

    def _replayed(self, recorded: _Recorded, arrays: Mapping[str, Array]) -> list[Array]:
        for name, array in arrays.items():
            recorded.inputs[name].update_inplace(array)
        recorded.session.run_with_iobinding(recorded.binding)
        found = [each.numpy() for each in recorded.outputs]
        # On the CPU they are the buffers themselves, which the next run writes to.
        return [each.copy() for each in found] if self._device == "cpu" else found


def _is_odd(arrays: Mapping[str, Array]) -> bool:
    """Say whether there is an input that cannot be copied to a device, or nothing to compute."""
    return any(each.dtype.hasobject or each.dtype.kind in "US" or not each.size for each in arrays.values())
