"""Runs what the control plane makes for models: examinations, and tunings on this node.

Everything that touches a model runs in a child process (inference/child.py). Files that are built are left in
the node's folder of blobs; the head has them before the outcome is reported.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from helix_ray import plain
from helix_ray.blobs.errors import BlobError
from helix_ray.execution.assignment import Assignment, ErrorInfo, Outcome
from helix_ray.execution.progress import progress
from helix_ray.execution.result_file import left_in
from helix_ray.inference.errors import InferenceRefused

if TYPE_CHECKING:
    from helix_ray.core.specs import ExaminationRun, TuningRun

KINDS = ("examination", "tuning")


def run_model_work(task: Assignment, cpus: float | None) -> Outcome:
    """Run an examination or a tuning; `cpus` is what this process was assigned.

    A model that is rejected is an outcome like any other. Raises OSError.
    """
    try:
        return _examined(task) if task.run["kind"] == "examination" else _tuned(task, cpus)
    except InferenceRefused as error:
        return Outcome(False, error=ErrorInfo("bad_spec", type(error).__name__, str(error)))
    except BlobError as error:
        return Outcome(False, error=ErrorInfo("failed", type(error).__name__, str(error)))


def _examined(task: Assignment) -> Outcome:
    from helix_ray.inference.examine import examine
    from helix_ray.inference.variants import ExaminationJob, GateBounds

    run = cast("ExaminationRun", task.run)
    job = ExaminationJob(
        model=run["file"],
        calibration=run["calibration"],
        heldout=run["heldout"],
        bounds=GateBounds(**run["bounds"]),
        memory_mb=run["memory_mb"],
        time_limit_s=run["time_limit_s"],
    )
    report = examine(job, Path(task.blobs_dir), _Steps())
    built = {each["digest"]: None for each in report["variants"] if each["digest"] not in (None, run["file"])}
    return Outcome(True, dict(report), blobs=tuple(digest for digest in built if digest is not None))


def _tuned(task: Assignment, cpus: float | None) -> Outcome:
    from helix_ray.inference.tune import TuningJob, tune
    from helix_ray.inference.variants import GateBounds

    run = cast("TuningRun", task.run)
    job = TuningJob(
        variants=cast(Any, run["variants"]),
        inputs=cast(Any, run["inputs"]),
        batch=run.get("batch"),
        heldout=run["heldout"],
        time_limit_s=run["time_limit_s"],
        node_class=run["node_class"],
        cpus=cpus,
        bounds=GateBounds(**run["bounds"]),
    )
    report = tune(job, Path(task.blobs_dir), _Steps())
    evidence = left_in(Path(task.blobs_dir), plain.write(dict(report)))
    result = {name: value for name, value in report.items() if name != "rows"}
    return Outcome(True, {**result, "evidence": evidence}, blobs=(evidence["digest"],))


class _Steps:
    """Reports the part that is done, and says each step once in the log."""

    def __init__(self) -> None:
        self._said = ""

    def __call__(self, done: float, step: str) -> None:
        """Raises Cancelled, so that a cancel comes between two steps."""
        if step != self._said:
            self._said = step
            print(step, file=sys.stderr, flush=True)
        progress(done, 1.0, step)
