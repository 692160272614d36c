"""What was measured of models, as tables that fit a terminal of 80 columns."""

from __future__ import annotations

from typing import Any

import pytest

from helix_ray.cli import models
from helix_ray.inference.tuner import MADE_ROWS_ONLY

COLUMNS = 80
NODE_CLASS = "x86-64-amx-2c-ort1.32.0-e4a03b30"
REASON = "heldout: no array for input 'image'; it has images, labels"
AT = "2026-11-27T01:30:00Z"
NO_MEMORY = "the runtime cannot run it: no memory"
SATURATED = "relative error 1.01 is above 0.2; cosine -0.18 is below 0.99"


def variant(name: str, arithmetic: str, **more: Any) -> dict[str, Any]:
    gate = {
        "data": "given", "rows": 400, "max_relative_error": 0.1391, "min_cosine": 0.998341,
        "top1_agreement": 0.9975, "passed": True,
        "accuracy": {"fp32": 0.995, "variant": 0.9975, "difference": 0.0025, "low": -0.0044, "high": 0.0094},
    }  # fmt: skip
    said = {"name": name, "arithmetic": arithmetic, "state": "ready", "reason": None, "bytes": 1_093_465}
    return {**said, "gate": gate, **more}


def row(name: str, batch: int, ratio: float | None, why_not: str | None) -> dict[str, Any]:
    low = None if ratio is None else ratio - 0.02
    where = {"provider": "CPUExecutionProvider", "threads": 1, "batch": batch}
    return {"variant": name, **where, "ratio": ratio, "low": low, "why_not": why_not}


def rows() -> list[dict[str, Any]]:
    return [
        row("fp32", 1, 1.0, "int8-dynamic is faster"),
        row("fp16", 1, 1.02, "not faster than FP32 beyond doubt: its interval begins below 1.03"),
        row("int8-static", 1, 1.204, MADE_ROWS_ONLY),
        row("int8-static", 128, 1.809, MADE_ROWS_ONLY),
        row("fp16-storage", 1, 1.2, "int8-dynamic is faster"),
        row("fp32", 128, None, NO_MEMORY),
        row("int8-dynamic", 1, None, "refused in the examination: cosine 0.4 is below 0.99"),
        row("int8-dynamic", 128, 1.683, None),
    ]


def evidence() -> Any:
    choice = {
        "batch": 128, "variant": "int8-dynamic", "provider": "CPUExecutionProvider", "threads": 1,
        "ratio": 1.683, "low": 1.631, "high": 1.76,
    }  # fmt: skip
    tuned = {"node_class": NODE_CLASS, "state": "tuned", "reason": None, "choices": [choice], "rows": rows()}
    failed = {"node_class": "other", "state": "failed", "reason": "its tuning was cancelled", "choices": []}
    failed["rows"] = []
    variants = [
        variant("fp32", "FP32", gate=None),
        variant("fp16-storage", "FP32"),
        variant("int8-static", "INT8", state="refused", reason=SATURATED),
    ]
    ready = {
        "version": 12,
        "state": "ready",
        "reason": None,
        "variants": variants,
        "tunings": [tuned, failed],
    }
    rejected = {"version": 11, "state": "rejected", "reason": REASON, "variants": [], "tunings": []}
    return {"name": "digits", "versions": [ready, rejected]}


def model() -> Any:
    said = {"sha256": "a", "bytes": 1_093_465, "pushed_by": "ada", "pushed_at": AT, "reason": None}
    lines = [{"node_class": each["node_class"], "state": each["state"], "reason": each["reason"]}
             for each in evidence()["versions"][0]["tunings"]]  # fmt: skip
    versions = [
        {**said, "version": 12, "state": "ready", "variants": ["fp32"], "tunings": lines},
        {**said, "version": 11, "state": "rejected", "variants": [], "tunings": [], "reason": REASON},
    ]
    whole = {"name": "digits", "owner": "ada", "project_id": None, "created_at": AT}
    return {**whole, "active": 12, "earlier": None, "canaries": [], "versions": versions}


class Connected:
    """A client whose server has one answer."""

    def __enter__(self) -> Connected:
        return self

    def __exit__(self, *_: object) -> None: ...

    def models(self) -> Any:
        return [model()]

    def model(self, name: str) -> Any:
        return model()

    def model_evidence(self, name: str, version: int | None) -> Any:
        return evidence()


def test_evidence_fits_eighty_columns_and_cuts_no_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The interval of the accuracy and the ratios stay; each reason is a line of its own, whole."""
    monkeypatch.setenv("COLUMNS", str(COLUMNS))
    monkeypatch.setattr(models, "connect", Connected)
    models.evidence("digits")
    lines = capsys.readouterr().out.splitlines()
    reasons = [
        f"digits@12 int8-static refused: {SATURATED}",
        f"digits@11 rejected: {REASON}",
    ]
    assert [line for line in lines if line in reasons] == reasons
    notes = [line for line in lines if " thread: " in line]
    assert [line for line in lines if len(line) > COLUMNS and line not in [*reasons, *notes]] == []
    assert "12       fp16-storage  ready     0.139  0.99834  0.998  99.75 (-0.44 to +0.94)" in lines
    assert f"digits@12 on {NODE_CLASS}: tuned" in lines
    chosen = "128 int8-dynamic CPUExecutionProvider 1 1.68 1.63 to 1.76"
    assert [line for line in lines if line.split() == chosen.split()]
    assert lines[-1] == "digits@12 on other: failed: its tuning was cancelled"


def test_evidence_says_what_was_faster_and_why_it_is_not_taken(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A variant that would win is no silence in a table of choices, nor is what could not be measured."""
    monkeypatch.setattr(models, "connect", Connected)
    models.evidence("digits")
    on = "CPUExecutionProvider, 1 thread"
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if on in line] == [
        f"digits@12 int8-static, {on}: 1.20 at batch 1, 1.81 at batch 128, not chosen: {MADE_ROWS_ONLY}",
        f"digits@12 fp32, {on}: not measured at batch 128: {NO_MEMORY}",
    ]


def test_lists_say_where_a_version_is_tuned(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On how many of its classes of nodes in the table; below it each class, with the reason of a failure."""
    monkeypatch.setenv("COLUMNS", str(COLUMNS))
    monkeypatch.setattr(models, "connect", Connected)
    models.list_models()
    head, row = capsys.readouterr().out.splitlines()
    assert row[head.index("TUNED") :].startswith("1 of 2")
    models.show("digits")
    lines = capsys.readouterr().out.splitlines()
    assert f"digits@12 on {NODE_CLASS}: tuned" in lines
    assert "digits@12 on other: failed: its tuning was cancelled" in lines
    assert [line for line in lines if "1 of 2" in line and line.startswith("12")]
