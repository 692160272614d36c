"""Facts of every kind for tests: each field has a value of its type."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any, get_args

from helix_ray.core import events as ev
from tests.unit.core.stage import COMMAND, spec

KINDS: tuple[type[Any], ...] = (*get_args(ev.Event), ev.Erased)
DIGEST = "ab" * 32
FOLLOWS: dict[str, Any] = {"tasks": [], "documents": ["notes"]}


def made(kind: type[Any], subject: str, owner: str, project: str | None) -> Any:
    """Return a fact of a kind about a subject, with an owner and a project where it has them."""
    values: dict[str, Any] = {
        "id": subject, "owner": owner, "user_id": owner, "project": project, "status": "failed",
        "spec": spec(project_id=project, run={**COMMAND, "env": {"A": "canary"}}), "kind": "external",
        "error": {"reason": "exit", "message": "m", "pickled": "AAAA"}, "changes": {"title": "other"},
        "file": {"digest": DIGEST, "bytes": 3}, "since": None,
    }  # fmt: skip
    return kind(**{
        field.name: values[field.name] if field.name in values else _value(field.type)
        for field in fields(kind)
        if field.name in values or (field.default is MISSING and field.default_factory is MISSING)
    })  # fmt: skip


def _value(declared: Any) -> Any:
    text = str(declared)
    for beginning, value in (
        ("str", "word"), ("int", 3), ("float", 1.5), ("bool", True), ("list[int]", [1]), ("list[str]", ["a"]),
        ("list", []), ("dict", {}), ("Mapping", {}), ("Offer", {"cpu": 1.0}), ("JsonObject", {}),
        ("FilterRecord", {"events": ["task.*"]}),
        ("Follows", FOLLOWS), ("DocumentChange | None", None),
    ):  # fmt: skip
        if text.startswith(beginning):
            return value
    raise AssertionError(f"no value for {text}")
