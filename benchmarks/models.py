"""What the tuner picks for the two digits models on this machine, beside FP32 of the same rounds."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.report import Goal, Line, Report, Series
from benchmarks.scale import Scale
from helix_ray.blobs.store import BlobStore
from helix_ray.digits import as_image, as_rows, held_out
from helix_ray.inference.examine import examine
from helix_ray.inference.onnx import DEFAULT_ROOT
from helix_ray.inference.providers import CPU
from helix_ray.inference.tune import tune
from helix_ray.inference.tuner import LOSS_MAX, TrialRow, TuningJob, TuningReport
from helix_ray.inference.variants import FP32, ExaminationJob

NAME = "models"
CALIBRATING_ROWS = 97
SECONDS_PER_ROUND = 8.0
# The variant that wins on x86 with VNNI, the batch at which that was seen, and by how much at least.
KNOWN = {
    ("digits_resnet20", 1): ("int8-static", 1.6),
    ("digits_resnet20", 16): ("int8-static", 1.6),
    ("digits_transformer", 16): ("int8-dynamic", 1.2),
}


def run(scale: Scale) -> Report:
    """Examine and tune each model once, with more time on the full scale."""
    with tempfile.TemporaryDirectory() as folder:
        found = [(name, _tuned(name, key, rows, Path(folder) / name, scale)) for name, key, rows in _models()]
    lines = [line for name, report in found for line in _lines(name, report)]
    machine = found[0][1]["machine"]
    losers = [_said(name, row) for name, report in found for row in report["rows"] if _is_of_interest(row)]
    notes = (
        f"class {found[0][1]['node_class']}: {machine['cpu']}, {', '.join(machine['flags'])}",
        "rows/s of CPU time, one thread; the ratio is the median of paired rounds, with its interval of 95 %",
        *losers,
    )
    return Report(NAME, "what the tuner picks", tuple(lines), notes)


def _models() -> list[tuple[str, str, np.ndarray]]:
    images, _ = held_out()
    return [
        ("digits_resnet20", "image", as_image(images)),
        ("digits_transformer", "rows", as_rows(images)),
    ]


def _tuned(name: str, key: str, rows: np.ndarray, folder: Path, scale: Scale) -> TuningReport:
    store = BlobStore(folder)
    _, labels = held_out()
    model = store.add(DEFAULT_ROOT / f"{name}.onnx").digest
    calibration = _stored(store, {key: rows[:CALIBRATING_ROWS]})
    rest = {key: rows[CALIBRATING_ROWS:], "labels": labels[CALIBRATING_ROWS:].astype(np.int64)}
    heldout = _stored(store, rest)
    examined = examine(ExaminationJob(model, calibration, heldout), folder, silently)
    limit_s = SECONDS_PER_ROUND * scale.rounds
    job = TuningJob(examined["variants"], examined["inputs"], heldout, cpus=1, time_limit_s=limit_s)
    return tune(job, folder, silently)


def _stored(store: BlobStore, arrays: dict[str, np.ndarray]) -> str:
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **arrays)
    incoming = store.begin()
    incoming.write(file.getvalue())
    return incoming.finish().digest


def _lines(name: str, report: TuningReport) -> list[Line]:
    chosen = [each for each in report["choices"] if each["provider"] == CPU]
    lines = []
    for choice in chosen:
        batch, variant = choice["batch"], choice["variant"]
        ours = _rate(report["rows"], variant, batch)
        anchor = Series(FP32, "rows/s", (ours.median / choice["ratio"],))
        what = f"{name}, batch {batch}: {variant} ({choice['low']:.2f}..{choice['high']:.2f})"
        lines.append(Line(what, ours, anchor, _goal(name, batch, variant, choice["ratio"])))
    return lines


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
