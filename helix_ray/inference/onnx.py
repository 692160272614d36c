"""Finds, loads and runs ONNX models; sessions get their options here and nowhere else."""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helix_ray.core.specs import JsonObject
from helix_ray.inference.errors import BadModelFile, InferenceRefused, ModelNotFound
from helix_ray.inference.threads import usable_threads
from helix_ray.inference.weights import Weights, scan

if TYPE_CHECKING:
    import onnxruntime

    from helix_ray.inference.tensors import TensorSpec

__all__ = ["DEFAULT_ROOT", "InferenceRefused", "Model", "ModelInfo", "ModelNotFound", "ModelStore"]

MODEL_BYTES_MAX = 256 * 1024 * 1024
"""Largest model file that is loaded, in bytes."""

MODELS_LOADED_MAX = 4
"""Sessions kept in memory; the one used longest ago goes first."""

DEFAULT_ROOT = Path(__file__).parent.parent / "models"
"""The models that come with the package."""

PROVIDERS = ("CPUExecutionProvider",)

_NAME = re.compile(r"[a-z0-9_.-]{1,64}")
_KEYS = {"kind", "model", "inputs", "outputs", "timeout_s"}
_Stamp = tuple[int, int]  # of a file: time of change in ns, size in bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """A model file: its size, its SHA-256 in hex, its inputs and outputs, and how most
    of its weights are stored."""

    name: str
    bytes: int
    sha256: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    precision: str | None


@dataclass(frozen=True, slots=True)
class Model:
    """A loaded model; `session` may be run from several threads at once."""

    info: ModelInfo
    session: onnxruntime.InferenceSession
    stamp: _Stamp


class ModelStore:
    """The models in the folder `root`, `<name>.onnx` each; a file that changes is loaded again.

    `cpus` is how many CPUs the process was assigned, None for all that it may use.
    """

    def __init__(
        self,
        root: Path = DEFAULT_ROOT,
        *,
        models_loaded_max: int = MODELS_LOADED_MAX,
        model_bytes_max: int = MODEL_BYTES_MAX,
        cpus: float | None = None,
    ) -> None:
        self._root = root
        self._models_loaded_max = models_loaded_max
        self._model_bytes_max = model_bytes_max
        self._cpus = cpus
        self._lock = threading.Lock()  # guards the two below
        self._loaded: OrderedDict[str, Model] = OrderedDict()
        self._known: dict[str, tuple[_Stamp, ModelInfo]] = {}

    def list(self) -> list[ModelInfo]:
        """Return all models by name; files that cannot be used are left out."""
        names = sorted(path.stem for path in self._root.glob("*.onnx") if _NAME.fullmatch(path.stem))
        return [info for name in names if (info := self._info(name)) is not None]

    def model(self, name: str) -> Model:
        """Return the loaded model; raises ModelNotFound and BadModelFile."""
        path, stamp = self._find(name)
        with self._lock:
            model = self._loaded.get(name)
            if model is None or model.stamp != stamp:
                self._loaded.pop(name, None)
                while len(self._loaded) >= self._models_loaded_max:
                    self._loaded.popitem(last=False)
                model = self._loaded[name] = self._load(name, path, stamp)
                self._known[name] = (stamp, model.info)
            self._loaded.move_to_end(name)
            return model

    def session(self, name: str) -> onnxruntime.InferenceSession:
        """Return the session of a model; raises ModelNotFound and BadModelFile."""
        return self.model(name).session

    def infer(self, run: Mapping[str, Any]) -> JsonObject:
        """Run a model once and return JSON: outputs by name as nested lists, their shapes, and how it ran.

        `run` has `model`, `inputs` (see `tensors.decode`) and optionally `outputs`, the names of the
        requested outputs. In the result, `precision` is how the weights are stored, null where unknown;
        `duration_ms` is the time in the session. Raises InferenceRefused with a message for the caller.
        """
        from helix_ray.inference.tensors import decode, encode

        if unknown := sorted(run.keys() - _KEYS):
            raise InferenceRefused(f"unknown fields: {', '.join(unknown)}")
        if "inputs" not in run:
            raise InferenceRefused("inputs must be given")
        model = self.model(run.get("model", ""))
        wanted = _wanted_outputs(run.get("outputs"), model.info)
        feed = decode(run["inputs"], model.info.inputs)
        started = time.perf_counter()
        try:
            arrays = model.session.run(wanted, feed)
        except Exception as error:  # ONNX Runtime's exceptions have no common base
            raise InferenceRefused(f"model {model.info.name!r} rejected the inputs: {error}") from error
        duration_ms = (time.perf_counter() - started) * 1000
        named = dict(zip(wanted, arrays, strict=True))
        return {
            "model": model.info.name,
            "outputs": {name: encode(name, array) for name, array in named.items()},
            "shapes": {name: list(array.shape) for name, array in named.items()},
            "precision": model.info.precision,
            "provider": model.session.get_providers()[0],
            "duration_ms": round(duration_ms, 3),
        }

    def _find(self, name: str) -> tuple[Path, _Stamp]:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ModelNotFound(
                f"model {name!r} is not a valid name: use 1 to 64 characters from a-z 0-9 _ . -"
            )
        path = self._root / f"{name}.onnx"
        try:
            status = path.stat()
        except OSError:
            raise ModelNotFound(f"model {name!r} does not exist") from None
        if status.st_size > self._model_bytes_max:
            raise BadModelFile(
                f"model {name!r} has {status.st_size} bytes; the limit is {self._model_bytes_max}"
            )
        return path, (status.st_mtime_ns, status.st_size)

    def _info(self, name: str) -> ModelInfo | None:
        try:
            path, stamp = self._find(name)
            known = self._known.get(name)
            if known is None or known[0] != stamp:
                known = self._known[name] = (stamp, self._load(name, path, stamp).info)
        except InferenceRefused:
            return None
        return known[1]

    def _load(self, name: str, path: Path, stamp: _Stamp) -> Model:
        data = path.read_bytes()
        weights = scan(data)
        if weights.external:
            raise BadModelFile(
                f"model {name!r} stores weights in other files ({weights.external[0]}), which is not "
                "supported"
            )
        session = _session(name, data, usable_threads(self._cpus))
        return Model(_describe(name, data, session, weights), session, stamp)


def _session(name: str, data: bytes, threads: int) -> onnxruntime.InferenceSession:
    """Return a session; its threads do not spin, since other work shares the node
    (session.intra_op.allow_spinning: that costs 1 % of speed and saves a quarter of the CPU time)."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3  # errors
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(data, options, providers=list(PROVIDERS))
    except Exception as error:  # ONNX Runtime's exceptions have no common base
        raise BadModelFile(f"model {name!r} cannot be loaded: {error}") from error


def _describe(name: str, data: bytes, session: onnxruntime.InferenceSession, weights: Weights) -> ModelInfo:
    digest = hashlib.sha256(data).hexdigest()
    inputs, outputs = _specs(session.get_inputs()), _specs(session.get_outputs())
    return ModelInfo(
        name=name, bytes=len(data), sha256=digest, inputs=inputs, outputs=outputs, precision=weights.precision
    )


def _specs(arguments: Any) -> tuple[TensorSpec, ...]:
    from helix_ray.inference.tensors import TensorSpec, dtype_of

    return tuple(TensorSpec(each.name, dtype_of(each.type), tuple(each.shape)) for each in arguments)


def _wanted_outputs(wanted: Any, info: ModelInfo) -> list[str]:
    names = [spec.name for spec in info.outputs]
    if wanted is None:
        return names
    if not isinstance(wanted, list | tuple) or not wanted:
        raise InferenceRefused("outputs must be a list of names")
    if unknown := [name for name in wanted if name not in names]:
        raise InferenceRefused(f"unknown output {unknown[0]!r}; the model's outputs are {', '.join(names)}")
    return list(dict.fromkeys(wanted))
