"""Runs inferences of several tasks as one batch; each gets its own rows, or its own error.

What cannot be run together (a model fixed to a batch, rows of other shapes, a batch that the runtime rejects)
is run one by one, so that a bad one fails alone.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from helix_ray.core.inference_result import InferenceResult
from helix_ray.inference.errors import InferenceRefused
from helix_ray.inference.not_finite import NotFiniteRows
from helix_ray.inference.outputs import Outputs
from helix_ray.inference.running import Loaded, Part, infer, loaded, said
from helix_ray.inference.tensors import Array, by_rows, decode

if TYPE_CHECKING:
    from helix_ray.inference.onnx import ModelStore

Run = Mapping[str, Any]
Ended = InferenceResult | InferenceRefused


def infer_together(models: ModelStore, runs: Sequence[Run], part: Part | None = None) -> list[Ended]:
    """Return the result or the refusal of each run, in order; they are of one model and batch size."""
    part = part or Part()
    try:
        model = loaded(models, runs[0], part)
        if model.batch is None:
            return _together(models, model, runs, part)
    except InferenceRefused:
        pass  # each says it itself
    return [_alone(models, run, part) for run in runs]


def _together(models: ModelStore, model: Loaded, runs: Sequence[Run], part: Part) -> list[Ended]:
    specs = by_rows(model.model.info.inputs)
    feeds: dict[int, dict[str, Array]] = {}
    ended: dict[int, Ended] = {}
    for index, run in enumerate(runs):
        try:
            feeds[index] = decode(run["inputs"], specs)
        except InferenceRefused as error:
            ended[index] = error
    for batch in _batches(feeds, runs[0]["batch_size"]):
        results = _run(model, runs, {index: feeds[index] for index in batch}) if len(batch) > 1 else None
        for index in batch:
            ended[index] = results[index] if results else _alone(models, runs[index], part)
    return [ended[index] for index in range(len(runs))]


def _batches(feeds: Mapping[int, Mapping[str, Array]], rows_max: int) -> list[list[int]]:
    """Return groups of tasks whose rows have one shape, each of at most so many rows."""
    batches: list[list[int]] = []
    open_ones: dict[object, tuple[list[int], int]] = {}
    for index, feed in feeds.items():
        shape = tuple(array.shape[1:] for array in feed.values())
        rows = _rows(feed)
        batch, before = open_ones.get(shape, ([], rows_max + 1))
        if before + rows > rows_max:
            batch, before = [], 0
            batches.append(batch)
        batch.append(index)
        open_ones[shape] = (batch, before + rows)
    return batches


def _run(
    model: Loaded, runs: Sequence[Run], feeds: Mapping[int, Mapping[str, Array]]
) -> dict[int, Ended] | None:
    """Run a batch; None where that did not go, or its outputs have no row for each input."""
    names = next(iter(feeds.values()))
    whole = {name: np.concatenate([feed[name] for feed in feeds.values()]) for name in names}
    total = _rows(whole)
    started = time.perf_counter()
    try:
        arrays = model.model.session.run(model.wanted, whole)
    except Exception:  # ONNX Runtime's exceptions have no common base; the bad task says its own
        return None
    seconds = time.perf_counter() - started
    if any(not np.ndim(array) or len(array) != total for array in arrays):
        return None
    ended: dict[int, Ended] = {}
    start = 0
    for index, feed in feeds.items():
        stop = start + _rows(feed)
        outputs = Outputs(model.wanted)
        own = {name: array[start:stop] for name, array in zip(model.wanted, arrays, strict=True)}
        outputs.add(own)
        odd = NotFiniteRows()
        odd.look(feed, own, stop - start)
        try:
            form = runs[index].get("output") or "json"
            ended[index] = said(model, outputs.result(form), stop - start, total, seconds, odd)
        except InferenceRefused as error:
            ended[index] = error
        start = stop
    return ended


def _rows(feed: Mapping[str, Array]) -> int:
    return len(next(iter(feed.values())))


def _alone(models: ModelStore, run: Run, part: Part) -> Ended:
    try:
        return infer(models, run, part)
    except InferenceRefused as error:
        return error
