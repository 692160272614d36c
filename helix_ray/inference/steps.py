"""The work of the child: admission, then one variant after another, each told to the parent as it ends.

A job has `folder` (scratch, with `model.onnx`), `memory_mb`, `bounds`, `variants` (names) and the paths
`calibration` and `heldout`. Where a child died of a variant, the next one gets `admitted`, the signature,
and goes on with the rows that the first one left in the folder.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np

from helix_ray.inference.admission import Admitted, admit
from helix_ray.inference.candidate import NamedRows, NotBuilt, NotUsable, feeds, raise_out_of_memory, words
from helix_ray.inference.variants import (
    ARITHMETIC,
    INT8_DYNAMIC,
    INT8_STATIC,
    TF32,
    ChildJob,
    Gate,
    GateBounds,
    Message,
    Variant,
)

__all__ = ["ADMISSION", "work"]

ADMISSION = "admission"
BUILDING_SHARE = 0.5
"""Part of a variant's progress that building it is."""

_LABELS = "labels"
_PER_RUN = "per_run"
_INPUT = "input_"  # before the names of inputs in our own files, so that one may be called `labels`

Send = Callable[[Message], None]


def work(job: ChildJob, send: Send) -> None:
    """Do what the job says and send messages: `step`, `admitted` or `refused`, `variant`, `fraction`."""
    folder = Path(job["folder"])
    model = folder / "model.onnx"
    admitted = _admitted(job, folder, model, send)
    if admitted is None:
        return
    bounds = GateBounds(**job["bounds"])
    make = _Maker(model, admitted, bounds, lambda part: send({"fraction": part}))
    for name in job["variants"]:
        send({"step": name})
        send({"variant": make.variant(name)})


def _admitted(job: ChildJob, folder: Path, model: Path, send: Send) -> Admitted | None:
    signature = job["admitted"]
    if signature is not None:
        return Admitted(
            signature,
            _load(folder / "calibration.npz", job["data"]),
            _load(folder / "judging.npz", job["data"]),
        )
    send({"step": ADMISSION})
    files = [None if path is None else Path(path) for path in (job["calibration"], job["heldout"])]
    try:
        admitted = admit(model, files[0], files[1], job["memory_mb"])
    except NotUsable as error:
        send({"refused": str(error)})
        return None
    except Exception as error:  # a file that was made to confuse: what it does to libraries is its own fault
        raise_out_of_memory(error)
        what = f"it cannot be examined: {type(error).__name__}: {words(error)}"
        send({"refused": "a name in it is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else what})
        return None
    _save(folder / "calibration.npz", admitted.calibration)
    _save(folder / "judging.npz", admitted.judging)
    send({"admitted": admitted.signature, "data": admitted.judging.data})
    return admitted


class _Maker:
    """Builds and judges the variants of one model."""

    def __init__(
        self, model: Path, admitted: Admitted, bounds: GateBounds, progress: Callable[[float], None]
    ) -> None:
        from helix_ray.inference import building, judging  # not for a model that is refused

        self._build, self._judge = building.build, judging.judge
        self._model = model
        self._admitted = admitted
        self._bounds = bounds
        self._progress = progress
        self._reference = judging.Reference(model, admitted.judging, admitted.signature["batch"])

    def variant(self, name: str) -> Variant:
        """Return one variant; whatever is wrong with it is its `reason`."""
        target = None if name == TF32 else self._model.with_name(f"{name}.onnx")
        gate: Gate | None = None
        state: Literal["ready", "failed", "refused"] = "ready"
        reason = None
        try:
            if target is not None:
                batches = feeds(self._admitted.calibration, self._admitted.signature["batch"])
                self._build(name, self._model, target, (feed for feed, _ in batches))
            self._progress(BUILDING_SHARE)
            gate, reason = self._judge(name, self._reference, target, self._bounds, self._judged)
            state = "refused" if reason else "ready"
        except (NotBuilt, NotUsable, ValueError) as error:
            state, reason = "failed", str(error)
        needs_given = name in (INT8_STATIC, INT8_DYNAMIC) and self._admitted.judging.data == "synthetic"
        variant: Variant = {
            "name": name, "digest": None, "bytes": 0, "state": state, "reason": reason,
            "arithmetic": ARITHMETIC[name], "gate": gate, "automatic": state == "ready" and not needs_given,
        }  # fmt: skip
        if state == "ready" and target is not None:
            variant["file"] = target.name
        return variant

    def _judged(self, part: float) -> None:
        self._progress(BUILDING_SHARE + part * (1 - BUILDING_SHARE))


def _save(path: Path, rows: NamedRows) -> None:
    named = {_INPUT + name: array for name, array in rows.arrays.items()}
    if rows.labels is not None:
        named[_LABELS] = rows.labels
    named[_PER_RUN] = np.array(rows.per_run)
    plain: Any = {name: each.astype(str) if each.dtype.hasobject else each for name, each in named.items()}
    np.savez(path, **plain)


def _load(path: Path, data: Literal["given", "synthetic"]) -> NamedRows:
    with np.load(path, allow_pickle=False) as archive:
        arrays = {
            name.removeprefix(_INPUT): archive[name].astype(object)
            if archive[name].dtype.kind == "U"
            else archive[name]
            for name in archive.files
            if name.startswith(_INPUT)
        }
        labels = archive[_LABELS] if _LABELS in archive.files else None
        per_run = int(archive[_PER_RUN])
    return NamedRows(arrays, labels, data, per_run)
