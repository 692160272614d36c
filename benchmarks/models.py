"""What the tuner picks for models of digits of five kinds on this machine, beside FP32 of the same rounds."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from onnx import ModelProto

from benchmarks.made_digits import forest, mobile, recurrent
from benchmarks.report import Goal, Line, Report, Series
from benchmarks.scale import Scale
from helix_ray.blobs.store import BlobStore
from helix_ray.digits import as_image, as_rows, held_out
from helix_ray.inference.examine import examine
from helix_ray.inference.onnx import DEFAULT_ROOT
from helix_ray.inference.providers import CPU
from helix_ray.inference.tune import tune
from helix_ray.inference.tuner import LOSS_MAX, Choice, TrialRow, TuningJob, TuningReport
from helix_ray.inference.variants import FP32, ExaminationJob, ExaminationReport, Variant

NAME = "models"
CALIBRATING_ROWS = 97
SECONDS_PER_ROUND = 8.0
POINTS_MAX = 0.005
# The variant that wins on x86 with VNNI, the batch at which that was seen, and by how much at least.
KNOWN = {
    ("digits_resnet20", 1): ("int8-static", 1.6),
    ("digits_resnet20", 16): ("int8-static", 1.6),
    ("digits_transformer", 16): ("int8-dynamic", 1.2),
}
Maker = Callable[[np.ndarray, np.ndarray], ModelProto]


@dataclass(frozen=True, slots=True)
class Kind:
    """A model, and rows of its only input: what calibrates, what judges, and the labels of the latter."""

    name: str
    data: bytes
    key: str
    calibrating: np.ndarray
    judging: np.ndarray
    labels: np.ndarray


def run(scale: Scale) -> Report:
    """Examine and tune each model once, with more time on the full scale."""
    with tempfile.TemporaryDirectory() as folder:
        found = [(kind.name, *_tuned(kind, Path(folder) / kind.name, scale)) for kind in _kinds()]
    lines = [line for name, examined, tuned in found for line in _lines(name, examined, tuned)]
    tuning = found[0][2]
    machine = tuning["machine"]
    losers = [_said(name, row) for name, _, tuned in found for row in tuned["rows"] if _is_of_interest(row)]
    notes = (
        f"class {tuning['node_class']}: {machine['cpu']}, {', '.join(machine['flags'])}",
        "rows/s of CPU time, one thread; the ratio is the median of paired rounds, with its interval of 95 %",
        "digits_mobile, digits_gru and digits_forest: made here (benchmarks/made_digits.py), fitted to 249 "
        "digits and judged by the 248 others",
        *losers,
    )
    return Report(NAME, "what the tuner picks", tuple(lines), notes)


def _kinds() -> list[Kind]:
    images, found = held_out()
    labels = found.astype(np.int64)
    pixels = as_rows(images).reshape(len(images), -1)
    return [
        _packaged("digits_resnet20", "image", as_image(images), labels),
        _packaged("digits_transformer", "rows", as_rows(images), labels),
        _made("digits_mobile", mobile, "image", as_image(images), labels),
        _made("digits_gru", recurrent, "rows", as_rows(images), labels),
        _made("digits_forest", forest, "pixels", pixels, labels),
    ]


def _packaged(name: str, key: str, rows: np.ndarray, labels: np.ndarray) -> Kind:
    data = (DEFAULT_ROOT / f"{name}.onnx").read_bytes()
    return Kind(name, data, key, rows[:CALIBRATING_ROWS], rows[CALIBRATING_ROWS:], labels[CALIBRATING_ROWS:])


def _made(name: str, make: Maker, key: str, rows: np.ndarray, labels: np.ndarray) -> Kind:
    data = make(rows[::2], labels[::2]).SerializeToString()
    return Kind(name, data, key, rows[::2], rows[1::2], labels[1::2])


def _tuned(kind: Kind, folder: Path, scale: Scale) -> tuple[ExaminationReport, TuningReport]:
    store = BlobStore(folder)
    model = _kept(store, kind.data)
    calibration = _stored(store, {kind.key: kind.calibrating})
    heldout = _stored(store, {kind.key: kind.judging, "labels": kind.labels})
    examined = examine(ExaminationJob(model, calibration, heldout), folder, silently)
    limit_s = SECONDS_PER_ROUND * scale.rounds
    job = TuningJob(
        examined["variants"],
        examined["inputs"],
        heldout,
        cpus=1,
        time_limit_s=limit_s,
        batch=examined["batch"],
    )
    return examined, tune(job, folder, silently)


def _stored(store: BlobStore, arrays: dict[str, np.ndarray]) -> str:
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **arrays)
    return _kept(store, file.getvalue())


def _kept(store: BlobStore, data: bytes) -> str:
    incoming = store.begin()
    incoming.write(data)
    return incoming.finish().digest


def _lines(name: str, examined: ExaminationReport, report: TuningReport) -> list[Line]:
    chosen = [each for each in report["choices"] if each["provider"] == CPU and not each.get("only_by_name")]
    lines = [_accuracy(name, each) for each in examined["variants"] if _has(each, chosen)]
    for choice in chosen:
        batch, variant = choice["batch"], choice["variant"]
        ours = _rate(report["rows"], variant, batch)
        anchor = Series(FP32, "rows/s", (ours.median / choice["ratio"],))
        what = f"{name}, batch {batch}: {variant} ({choice['low']:.2f}..{choice['high']:.2f})"
        lines.append(Line(what, ours, anchor, _goal(name, batch, variant, choice["ratio"])))
    return lines


def _has(variant: Variant, chosen: Sequence[Choice]) -> bool:
    """Say whether a variant other than FP32 was chosen, and judged by labels."""
    gate = variant["gate"]
    is_chosen = variant["name"] in {each["variant"] for each in chosen}
    return is_chosen and gate is not None and gate["accuracy"] is not None


def _accuracy(name: str, variant: Variant) -> Line:
    gate = variant["gate"]
    assert gate is not None
    found = gate["accuracy"]
    assert found is not None
    ours, anchor = Series("", "%", (100 * found["variant"],)), Series(FP32, "%", (100 * found["fp32"],))
    goal = Goal("within half a point", found["variant"] >= found["fp32"] - POINTS_MAX)
    return Line(f"{name}: accuracy in {variant['name']}", ours, anchor, goal)


def _rate(rows: Sequence[TrialRow], variant: str, batch: int) -> Series:
    (row,) = (
        each
        for each in rows
        if (each["variant"], each["batch"], each["provider"], each["threads"]) == (variant, batch, CPU, 1)
    )
    return Series("", "rows/s", (row["cpu_items_per_s"] or 0.0,))


def _goal(name: str, batch: int, variant: str, ratio: float) -> Goal:
    known, least = KNOWN.get((name, batch), (None, 1 - LOSS_MAX))
    text = f">= {least:g} x {FP32}" + (f" with {known}" if known else "")
    return Goal(text, ratio >= least and known in (None, variant))


def _is_of_interest(row: TrialRow) -> bool:
    return row["why_not"] is not None and row["variant"] != FP32


def _said(name: str, row: TrialRow) -> str:
    where = f"{name}, batch {row['batch']}, {row['variant']}"
    if row["ratio"] is None:
        return f"{where}: {row['why_not']}"
    return f"{where}: {row['ratio']:.2f} ({row['low']:.2f}..{row['high']:.2f}), {row['why_not']}"


def silently(_part: float, _text: str) -> None:
    """Take no notice of progress."""
