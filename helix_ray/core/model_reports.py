"""Reads the results of examinations and tunings, which come from the processes that ran them: only what has
the shape of a report becomes a fact."""

from __future__ import annotations

from typing import Any

from helix_ray.core.digests import is_digest
from helix_ray.core.model_records import (
    ChoiceRecord,
    ExaminationRecord,
    FileRef,
    TensorRecord,
)
from helix_ray.core.models import ModelTask, is_usable

_OF_VARIANT = frozenset(("name", "digest", "bytes", "state", "reason", "arithmetic", "gate"))
_OF_CHOICE = frozenset(("batch", "variant", "provider", "threads", "ratio", "low", "high"))


def report_of(value: Any) -> ExaminationRecord | None:
    """Return the report in the result of an examination; None where it has not the shape of one."""
    if not isinstance(value, dict) or value.get("state") not in ("ready", "rejected"):
        return None
    variants = value.get("variants")
    if not isinstance(variants, list) or not all(map(_is_variant, variants)):
        return None
    if value["state"] == "ready" and not any(is_usable(each) for each in variants):
        return None
    reason = value.get("reason")
    return {
        "state": value["state"],
        "reason": None if reason is None else str(reason),
        "inputs": _tensors(value.get("inputs")),
        "outputs": _tensors(value.get("outputs")),
        "opset": value["opset"] if type(value.get("opset")) is int else 0,
        "batch": str(value.get("batch") or "none"),
        "warnings": [str(each) for each in value.get("warnings") or ()],
        "variants": variants,
    }


def _is_variant(value: Any) -> bool:
    if not isinstance(value, dict) or not set(value) >= _OF_VARIANT:
        return False
    gate = value["gate"]
    return (
        isinstance(value["name"], str)
        and value["state"] in ("ready", "failed", "refused")
        and (value["digest"] is None or is_digest(value["digest"]))
        and type(value["bytes"]) is int
        and (gate is None or (isinstance(gate, dict) and isinstance(gate.get("passed"), bool)))
    )


def choices_of(value: Any) -> list[ChoiceRecord] | None:
    """Return the choices in the result of a tuning; None where they have not that shape."""
    choices = value.get("choices") if isinstance(value, dict) else None
    if not isinstance(choices, list) or not all(map(_is_choice, choices)):
        return None
    return choices


def _is_choice(value: Any) -> bool:
    if not isinstance(value, dict) or not set(value) >= _OF_CHOICE:
        return False
    return type(value["batch"]) is int and isinstance(value["variant"], str)


def is_conclusive(made: ModelTask, result: Any) -> bool:
    """Say whether the result of an examination or a tuning can be read."""
    return (report_of(result) if made.node_class is None else choices_of(result)) is not None


def file_of(value: Any) -> FileRef | None:
    """Return a reference to a file; None where the value is not one."""
    if (
        not isinstance(value, dict)
        or not is_digest(value.get("digest"))
        or type(value.get("bytes")) is not int
    ):
        return None
    return {"digest": value["digest"], "bytes": value["bytes"]}


def _tensors(value: Any) -> list[TensorRecord]:
    tensors: list[TensorRecord] = value if isinstance(value, list) else []
    return [each for each in tensors if isinstance(each, dict)]
