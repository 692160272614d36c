"""Examinations and tunings are attempts like any other: files in, a report and files out, in an executor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psutil

from actors.results import ResultShelf, to_report
from helix_ray.blobs.store import BlobStore
from helix_ray.core.model_reports import choices_of, file_of, report_of
from helix_ray.execution.assignment import Cancel
from helix_ray.inference.node_class import node_class
from tests.unit.inference.onnx_models import grows, linear


def stored(folder: Path, model: Any) -> tuple[Path, str]:
    """Return a folder of blobs with a model in it, and the model's digest."""
    file = folder / "model.onnx"
    file.write_bytes(model.SerializeToString())
    return folder / "blobs", BlobStore(folder / "blobs").add(file).digest


def reported(node: Any, task_id: str, run: dict[str, Any]) -> Any:
    """Return the result of an attempt as the control plane gets it."""
    report = to_report(node.finished(task_id), node.assignment(task_id, run), ResultShelf(10**6))
    assert report.outcome == "completed", report.error
    return report.result


def examination(digest: str, **more: Any) -> dict[str, Any]:
    return {
        "kind": "examination", "model": "m", "version": 1, "file": digest, "calibration": None,
        "heldout": None, "files": [], "bounds": {}, "memory_mb": 1024, "time_limit_s": 15.0,
    } | more  # fmt: skip


def test_an_examination_and_a_tuning_give_what_becomes_facts(node: Any, folder: Path) -> None:
    """The reports have the shapes that the control plane reads; what was built and measured are files that
    go to the head; the executor lives on."""
    blobs, digest = stored(folder, linear())
    where = {"blobs": (digest,), "blobs_dir": str(blobs)}
    run = examination(digest, bounds={"min_cosine": 0.9})
    examined = node.run("examine", run, **where)
    report = report_of(reported(node, "examine", run))
    assert report is not None
    assert (report["state"], report["variants"][0]["digest"]) == ("ready", digest)
    built = {each["digest"] for each in report["variants"][1:] if each["digest"]}
    assert set(examined.blobs) == built
    assert all(BlobStore(blobs).verify(each) for each in built)
    tuning = {
        "kind": "tuning", "model": "m", "version": 1, "node_class": "here", "variants": report["variants"],
        "inputs": report["inputs"], "heldout": None, "files": [], "bounds": {}, "time_limit_s": 10.0,
    }  # fmt: skip
    tuned = node.run("tune", tuning, **where)
    found = reported(node, "tune", tuning)
    evidence = file_of(found["evidence"])
    assert evidence is not None
    assert choices_of(found) == found["choices"]
    assert (found["node_class"], found["machine"]) == ("here", node_class().details)
    assert tuned.blobs == (evidence["digest"],)
    kept = json.loads((blobs / evidence["digest"]).read_text())
    assert kept["choices"] == found["choices"]
    assert {row["variant"] for row in kept["rows"]} > {"fp32"}
    assert {row["batch"] for row in kept["rows"]} == {1, 16, 128}
    assert node.progress("tune")
    assert node.run("after", {"kind": "function", "function": "helix_ray.samples:noop"}).ok


def test_what_cannot_be_examined_or_tuned_is_said(node: Any, folder: Path) -> None:
    """A file that is missing fails the attempt with its digest; rows that do not fit refuse the tuning."""
    blobs, digest = stored(folder, linear())
    error = node.run("gone", examination("0" * 64), blobs_dir=str(blobs)).error
    assert "there is no file with the digest 0000" in error.message
    run = {
        "kind": "tuning", "model": "m", "version": 1, "node_class": "here", "heldout": digest, "files": [],
        "bounds": {},
        "variants": [{"name": "fp32", "digest": digest, "bytes": 1, "state": "ready", "reason": None,
                      "arithmetic": "FP32", "gate": None}],
        "inputs": [{"name": "x", "dtype": "float32", "shape": ["n", 8]}], "time_limit_s": 5.0,
    }  # fmt: skip
    error = node.run("unfit", run, blobs_dir=str(blobs)).error
    assert error.reason == "bad_spec"
    assert error.message.startswith("this model cannot be tuned: heldout: ")


def test_a_cancelled_examination_leaves_no_process(node: Any, folder: Path, is_gone: Any) -> None:
    """Its child ends with it."""
    blobs, digest = stored(folder, grows(2**26))
    node.submit("examine", examination(digest), blobs_dir=str(blobs), blobs=(digest,))
    node.wait(lambda: node.progress("examine"))
    children = psutil.Process(node.process.pid).children()
    node.send(Cancel("examine", 1))
    node.finished("examine")
    assert all(is_gone(child.pid) for child in children)
