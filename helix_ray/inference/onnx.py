"""Finds, loads and runs ONNX models: by name from a folder, or by digest from any file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helix_ray.inference.errors import BadModelFile, InferenceRefused, ModelNotFound
from helix_ray.inference.folder import DEFAULT_ROOT, NAME, model_names
from helix_ray.inference.loaded import LOADED_BYTES_MAX, LoadedSessions
from helix_ray.inference.sessions import SessionPlan, open_session, plan_for
from helix_ray.inference.weights import Weights, scan

if TYPE_CHECKING:
    import onnxruntime

    from helix_ray.inference.tensors import TensorSpec

__all__ = ["DEFAULT_ROOT", "InferenceRefused", "Model", "ModelInfo", "ModelNotFound", "ModelStore"]

MODEL_BYTES_MAX = 256 * 1024 * 1024
"""Largest model file that is loaded, in bytes."""

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
    """A loaded model, and the plan it was loaded by; `session` may be run from several threads at once."""

    info: ModelInfo
    session: onnxruntime.InferenceSession
    plan: SessionPlan


class ModelStore:
    """The models in the folder `root`, `<name>.onnx` each, and any model file by its digest.

    A file of `root` that changes is loaded again. The same contents with the same plan are loaded once,
    whatever they are called. `cpus` is how many CPUs the process was assigned, None for all that it may use;
    `loaded_bytes_max` is the memory for sessions.
    """

    def __init__(
        self,
        root: Path = DEFAULT_ROOT,
        *,
        loaded_bytes_max: int = LOADED_BYTES_MAX,
        model_bytes_max: int = MODEL_BYTES_MAX,
        cpus: float | None = None,
    ) -> None:
        self._root = root
        self._model_bytes_max = model_bytes_max
        self._cpus = cpus
        self._sessions = LoadedSessions(loaded_bytes_max)
        self._known: dict[str, tuple[_Stamp, ModelInfo]] = {}  # by name
        self._by_digest: dict[str, ModelInfo] = {}

    @property
    def cpus(self) -> float | None:
        """How many CPUs the process was assigned; None for all that it may use."""
        return self._cpus

    def list(self) -> list[ModelInfo]:
        """Return all models by name; files that cannot be used are left out."""
        return [info for name in model_names(self._root) if (info := self._info(name)) is not None]

    def model(self, name: str) -> Model:
        """Return the loaded model; raises ModelNotFound and BadModelFile."""
        path, stamp = self._find(name)
        plan = plan_for(self._cpus)
        known = self._known.get(name)
        if known is not None and known[0] == stamp:
            return self._loaded(known[1], path, plan)
        model = self._first(name, path, plan)
        self._known[name] = (stamp, model.info)
        return model

    def by_digest(self, digest: str, path: Path, name: str, plan: SessionPlan | None = None) -> Model:
        """Return the model of a file whose SHA-256 is `digest`; `name` is what messages and results call it.

        Raises BadModelFile, also where the file's contents have another digest, and ProviderNotUsed.
        """
        plan = plan or plan_for(self._cpus)
        info = self._by_digest.get(digest)
        if info is None:
            model = self._first(name, path, plan, digest)
            info = self._by_digest[digest] = model.info
            return model
        return self._loaded(replace(info, name=name), path, plan)

    def plan(
        self, provider: str, variant: str, threads: int | None = None, *, cuda_graph: bool = False
    ) -> SessionPlan:
        """Return the plan for a variant on a provider; no more threads than this process may use."""
        plan = replace(plan_for(self._cpus, provider, variant), cuda_graph=cuda_graph)
        return plan if threads is None else replace(plan, threads=min(threads, plan.threads))

    def session(self, name: str) -> onnxruntime.InferenceSession:
        """Return the session of a model; raises ModelNotFound and BadModelFile."""
        return self.model(name).session

    def _find(self, name: str) -> tuple[Path, _Stamp]:
        if not isinstance(name, str) or not NAME.fullmatch(name):
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
                known = self._known[name] = (stamp, self._first(name, path, plan_for(self._cpus)).info)
        except InferenceRefused:
            return None
        return known[1]

    def _first(self, name: str, path: Path, plan: SessionPlan, wanted: str | None = None) -> Model:
        """Load a file whose description is not known; its digest must be `wanted`, where that is given."""
        data, digest = _contents(name, path)
        if wanted is not None and digest != wanted:
            raise BadModelFile(f"model {name!r}: the file's contents have the SHA-256 {digest}, not {wanted}")
        weights = scan(data)
        if weights.external:
            raise BadModelFile(
                f"model {name!r} stores weights in other files ({weights.external[0]}), which is not "
                "supported"
            )
        session = self._sessions.get((digest, plan), len(data), lambda: open_session(name, data, plan))
        return Model(_describe(name, len(data), digest, session, weights), session, plan)

    def _loaded(self, info: ModelInfo, path: Path, plan: SessionPlan) -> Model:
        def load() -> onnxruntime.InferenceSession:
            data, digest = _contents(info.name, path)
            if digest != info.sha256:
                raise BadModelFile(f"model {info.name!r}: its file was changed while it was read")
            return open_session(info.name, data, plan)

        return Model(info, self._sessions.get((info.sha256, plan), info.bytes, load), plan)


def _contents(name: str, path: Path) -> tuple[bytes, str]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadModelFile(f"model {name!r} cannot be read: {error.strerror}") from error
    return data, hashlib.sha256(data).hexdigest()


def _describe(
    name: str, bytes_: int, digest: str, session: onnxruntime.InferenceSession, weights: Weights
) -> ModelInfo:
    inputs, outputs = _specs(session.get_inputs()), _specs(session.get_outputs())
    return ModelInfo(
        name=name, bytes=bytes_, sha256=digest, inputs=inputs, outputs=outputs, precision=weights.precision
    )


def _specs(arguments: Any) -> tuple[TensorSpec, ...]:
    from helix_ray.inference.tensors import TensorSpec, dtype_of

    return tuple(TensorSpec(each.name, dtype_of(each.type), tuple(each.shape)) for each in arguments)
