"""Runs an inference task: all its rows, or those of its shard, batch by batch.

A task without `batch_size`, `dataset`, `input_uri` and `shards` runs its inputs at once, whatever their first
axis means. In all other cases the first axis of every input and output counts rows. A model that is fixed to
a batch gets batches of that size; the last one is filled up, and what comes of that is dropped.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from helix_ray.core.cpu_arithmetic import cpu_arithmetic
from helix_ray.core.inference_result import InferenceResult
from helix_ray.core.inference_run import PRECISIONS, breach_of
from helix_ray.core.model_choice import CPU, FILE_BATCH_ROWS, choose, rows_of_batch
from helix_ray.core.model_inputs import row_range
from helix_ray.core.names import first_names
from helix_ray.inference.data_sets import open_rows
from helix_ray.inference.errors import InferenceRefused, ModelNotFound
from helix_ray.inference.node_class import cpu_flags
from helix_ray.inference.not_finite import NotFiniteRows
from helix_ray.inference.outputs import Outputs
from helix_ray.inference.rows import ArrayRows, Rows
from helix_ray.inference.sources import Sources
from helix_ray.inference.tensors import Array, TensorSpec, by_rows, decode

if TYPE_CHECKING:
    from helix_ray.core.model_records import ModelFiles
    from helix_ray.inference.onnx import Model, ModelInfo, ModelStore

KEYS = frozenset(
    {
        "kind", "model", "inputs", "dataset", "input_uri", "batch_size", "precision", "output", "outputs",
        "timeout_s",
    }
)  # fmt: skip
Advance = Callable[[int, int], None]


def silently(done: int, total: int) -> None:
    """Tell nobody how many rows are done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What an attempt runs of its task, and with what: `shard` is (index, count) of a shard, `version` is
    what the node has of the registered version that the run names, `advance` is called with the rows that are
    done and all rows, and may raise to end the attempt."""

    shard: tuple[int, int] | None = None
    version: ModelFiles | None = None
    sources: Sources = field(default_factory=Sources)
    advance: Advance = silently


@dataclass(frozen=True, slots=True)
class Loaded:
    """A variant of a model that is ready to run, and the outputs that are wanted of it. `batch`: the one to
    which it is fixed, 0 where its rows cannot be run in batches, None for any."""

    name: str
    version: int | None
    variant: str
    arithmetic: str
    model: Model
    wanted: list[str]
    batch: int | None
    # Whether it was chosen by what was measured; None for packaged models, which nothing measures.
    tuned: bool | None = None


def infer(models: ModelStore, run: Mapping[str, Any], part: Part | None = None) -> InferenceResult:
    """Run a model on the rows of a task and return JSON: outputs by name as nested lists and their shapes, or
    files, and how it ran.

    In the result, `precision` is how the weights are stored, null where unknown, `arithmetic` is what the
    node computes with, `batch` is the number of rows of a batch, `duration_ms` is the time in the session.
    Raises InferenceRefused with a message for the caller.
    """
    part = part or Part()
    return _Inference(loaded(models, run, part), run).result(part)


def loaded(models: ModelStore, run: Mapping[str, Any], part: Part) -> Loaded:
    """Return the variant that a run is run with on this node; raises InferenceRefused."""
    if unknown := sorted(run.keys() - KEYS):
        raise InferenceRefused(f"unknown fields: {first_names(unknown)}")
    if part.version is None:
        found = models.model(_packaged_name(run.get("model", "")))
    if (wrong := breach_of(run)) is not None:
        why = f": {wrong.why}" if wrong.why else f" is not valid: {run.get(wrong.path)!r}"
        raise InferenceRefused(f"{wrong.path}{why}")
    precision = run.get("precision") or PRECISIONS[0]
    if part.version is not None:
        return _of_version(models, part.version, run, precision, part.sources)
    variant = _packaged(found.info, precision)
    wanted = wanted_outputs(run.get("outputs"), found.info)
    batch = fixed_batch(found.info.inputs)
    return Loaded(found.info.name, None, variant, cpu_arithmetic(variant, cpu_flags()), found, wanted, batch)


def _of_version(
    models: ModelStore, files: ModelFiles, run: Mapping[str, Any], precision: str, sources: Sources
) -> Loaded:
    try:
        chosen = choose(files, precision, rows_of_batch(run))
    except LookupError as error:
        raise InferenceRefused(str(error)) from None
    variant, name = chosen.variant, files["model"]
    digest = variant["digest"] or ""
    if digest not in sources.files:
        raise InferenceRefused(f"variant {variant['name']} of {name}@{files['version']} is not on this node")
    plan = models.plan(chosen.provider, variant["name"], chosen.threads, cuda_graph=chosen.cuda_graph)
    model = models.by_digest(digest, sources.files[digest], name, plan)
    wanted = wanted_outputs(run.get("outputs"), model.info)
    batch = _examined_batch(files["batch"])
    arithmetic = variant["arithmetic"]
    if chosen.provider == CPU:
        arithmetic = cpu_arithmetic(variant["name"], cpu_flags())
    return Loaded(name, files["version"], variant["name"], arithmetic, model, wanted, batch, chosen.measured)


def _examined_batch(found: str) -> int | None:
    """Return the batch of a version, as its examination found it."""
    kind, _, size = found.partition(" ")
    return None if kind == "dynamic" else int(size) if kind == "fixed" else 0


def said(
    loaded: Loaded,
    values: InferenceResult,
    rows: int | None,
    batch: int | None,
    seconds: float,
    odd: NotFiniteRows,
) -> InferenceResult:
    """Return a result: values with what ran and how, and which of them are not finite."""
    noted = odd.said(loaded.variant, loaded.arithmetic)
    more: InferenceResult = {} if noted is None else {"not_finite": noted}
    return {
        "model": loaded.name,
        "version": loaded.version,
        "variant": loaded.variant,
        **values,
        "precision": loaded.model.info.precision,
        "arithmetic": loaded.arithmetic,
        "tuned": loaded.tuned,
        "provider": loaded.model.session.get_providers()[0],
        "batch": batch,
        "rows": rows,
        "duration_ms": round(seconds * 1000, 3),
        **more,
    }


def _packaged_name(name: Any) -> Any:
    """Return the name of a model of this node's folder; raises ModelNotFound for a version, which only
    registered models have."""
    if isinstance(name, str) and "@" in name:
        raise ModelNotFound(f"{name} is not registered any more, or has no variant that may be used")
    return name


def _packaged(info: ModelInfo, precision: str) -> str:
    """Return the name of a packaged model's only variant; raises InferenceRefused where another precision
    was asked for."""
    variant = info.precision or "fp32"
    if precision not in ("auto", variant):
        raise InferenceRefused(f"model {info.name!r} has no variant in {precision}: it has {variant}")
    return variant


def wanted_outputs(wanted: Any, info: ModelInfo) -> list[str]:
    """Return the names of the requested outputs, all by default; raises InferenceRefused."""
    names = [spec.name for spec in info.outputs]
    if wanted is None:
        return names
    if not isinstance(wanted, list | tuple) or not wanted:
        raise InferenceRefused("outputs must be a list of names")
    if unknown := [name for name in wanted if name not in names]:
        raise InferenceRefused(f"unknown output {unknown[0]!r}; the model's outputs are {first_names(names)}")
    return list(dict.fromkeys(wanted))


class _Inference:
    """One run of a model, and the time that its session took."""

    def __init__(self, loaded: Loaded, run: Mapping[str, Any]) -> None:
        self._loaded, self._run = loaded, run
        self._model, self._wanted = loaded.model, loaded.wanted
        self._form = run.get("output") or "json"
        self._seconds = 0.0
        self._odd = NotFiniteRows()

    def result(self, part: Part) -> InferenceResult:
        """Return the result of the attempt."""
        batch_size = self._run.get("batch_size")
        is_inline = "inputs" in self._run
        if not is_inline and not part.sources.names(self._run):
            raise InferenceRefused("inputs must be given")
        inline = self._run.get("inputs")
        if is_inline and batch_size is None and part.shard is None:
            return self._at_once(decode(inline, self._model.info.inputs))
        if self._loaded.batch == 0:
            raise InferenceRefused(
                f"the rows of model {self._loaded.name!r} change each other, so it cannot be run in batches: "
                "leave out batch_size and shards, and give inputs"
            )
        specs = by_rows(self._model.info.inputs)
        if is_inline:
            # The inputs of a shard are its own rows already.
            rows: Rows = ArrayRows(decode(inline, specs), specs)
            start, stop = 0, rows.count
        else:
            rows = open_rows(part.sources.path(self._run), specs)
            start, stop = row_range(rows.count, *(part.shard or (0, 1)))
        try:
            return self._in_batches(rows, start, stop, part.advance)
        finally:
            rows.close()

    def _at_once(self, feed: dict[str, Array]) -> InferenceResult:
        arrays = self._call(feed)
        sizes = {array.shape[0] if array.ndim else None for array in (*feed.values(), *arrays.values())}
        rows = sizes.pop() if len(sizes) == 1 else None
        outputs = Outputs(self._wanted)
        outputs.add(arrays)
        self._odd.look(feed, arrays, rows)
        return self._said(outputs, rows, rows)

    def _in_batches(self, rows: Rows, start: int, stop: int, advance: Advance) -> InferenceResult:
        fixed = self._loaded.batch
        batch = fixed or self._run.get("batch_size") or self._whole(stop - start)
        outputs = Outputs(self._wanted)
        advance(0, stop - start)
        for begin in range(start, stop, batch):
            end = min(begin + batch, stop)
            feed = rows.read(begin, end)
            arrays = self._call(_filled(feed, batch) if fixed else feed)
            arrays = {name: self._of_rows(name, each, end - begin, fixed) for name, each in arrays.items()}
            outputs.add(arrays)
            self._odd.look(feed, arrays, end - begin)
            advance(end - start, stop - start)
        if start == stop:
            outputs.add(self._none())
        return self._said(outputs, stop - start, batch)

    def _whole(self, rows: int) -> int:
        """Return the batch of a task that asks for none: given inputs run at once, files in batches."""
        return max(1, rows) if "inputs" in self._run else FILE_BATCH_ROWS

    def _call(self, feed: dict[str, Array]) -> dict[str, Array]:
        started = time.perf_counter()
        try:
            arrays = self._model.session.run(self._wanted, feed)
        except Exception as error:  # ONNX Runtime's exceptions have no common base
            from helix_ray.inference.candidate import words  # not before the runtime is loaded

            name = self._model.info.name
            raise InferenceRefused(f"model {name!r} rejected the inputs: {words(error)}") from error
        self._seconds += time.perf_counter() - started
        return dict(zip(self._wanted, map(np.asarray, arrays), strict=True))

    def _of_rows(self, name: str, array: Array, rows: int, fixed: int | None) -> Array:
        """Return the rows of an output, without those of a filled-up batch."""
        if not array.ndim or len(array) != (fixed or rows):
            shape = list(array.shape)
            raise InferenceRefused(
                f"output {name!r} has shape {shape} for {fixed or rows} rows, so the model cannot be run in "
                "batches: leave out batch_size and shards, and give inputs"
            )
        return array[:rows]

    def _none(self) -> dict[str, Array]:
        """Return the outputs of no rows."""
        specs = {spec.name: spec for spec in self._model.info.outputs}
        return {name: _empty(specs[name]) for name in self._wanted}

    def _said(self, outputs: Outputs, rows: int | None, batch: int | None) -> InferenceResult:
        return said(self._loaded, outputs.result(self._form), rows, batch, self._seconds, self._odd)


def fixed_batch(specs: Sequence[TensorSpec]) -> int | None:
    """Return the batch to which a model is fixed; None for one that takes any."""
    sizes = {spec.shape[0] if spec.shape else None for spec in specs}
    size = sizes.pop() if len(sizes) == 1 else None
    return size if isinstance(size, int) and size > 0 else None


def _filled(feed: dict[str, Array], batch: int) -> dict[str, Array]:
    """Return a batch with its last row repeated up to a size."""
    return {name: np.concatenate([a, np.repeat(a[-1:], batch - len(a), axis=0)]) for name, a in feed.items()}


def _empty(spec: TensorSpec) -> Array:
    tail = [size if isinstance(size, int) else 0 for size in spec.shape[1:]]
    return np.empty((0, *tail), object if spec.dtype == "str" else spec.dtype)
