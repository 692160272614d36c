"""Facts to JSON and back: every kind, and nothing that this release does not know."""

from __future__ import annotations

from dataclasses import MISSING, asdict, fields
from typing import Any, get_args

import orjson
import pytest

from helix_ray.core import codec
from helix_ray.core import events as ev
from helix_ray.core.codec import KINDS, UnknownKind, from_body, from_values, kind_of
from helix_ray.core.evolve import APPLY

VALUES: dict[str, Any] = {
    "str": "words",
    "str | None": "words",
    "float": 2.5,
    "float | None": 2.5,
    "int": 3,
    "bool": True,
    "Any": {"success": True, "value": [1, None]},
    "list[str]": ["a", "b"],
    "list[int]": [1, 2],
    "list[list[Any]] | None": [[1, "worker", "user", "lost"]],
    "list[list[Any]]": [[1, "worker", "user", "lost"]],
    "list[str] | None": ["a", "b"],
    "dict[str, Any]": {"name": [1, {"deep": None}]},
    "Mapping[str, object]": {"name": [1, {"deep": None}]},
    "JsonObject": {"name": [1, {"deep": None}]},
    "TaskSpec": {"title": "Words", "type": "building", "run": {"kind": "command", "argv": ["true"]}},
    "TaskEdits": {"labels": {"zone": "a"}, "deadline": None},
    "TaskError": {"reason": "error", "cause": {"message": "deep"}},
    "TaskError | None": {"reason": "error"},
    "Offer": {"cpu": 4.0, "gpu": None},
    "FileRef": {"digest": "0" * 64, "bytes": 3},
    "FileRef | None": {"digest": "0" * 64, "bytes": 3},
    "FilterRecord": {"events": ["task.*"], "projects": [], "types": [], "labels": {}, "statuses": []},
    "WebhookChanges": {"url": "https://example.com", "headers": {"a": "b"}},
    "ModelMetadata": {"licence": "MIT", "labels": {"zone": "a"}},
    "ExaminationRecord | None": {"state": "ready", "variants": [{"name": "fp32", "gate": None}]},
    "dict[str, object]": {"cpu": "x86"},
    "list[ChoiceRecord]": [{"batch": 16, "variant": "fp32"}],
    "dict[str, str]": {"zone": "a"},
    "dict[str, str] | None": {"subject": "CN=a"},
    "dict[str, float]": {"cpu": 4.0},
    "Follows": {"tasks": [{"project": None, "label": "zone=a", "owner": None}], "documents": ["notes"]},
    "list[DocumentChange]": [{"kind": "notes", "key": "a", "fields": {"b": [1, 2, 0, "device-1"]}}],
    "DocumentChange | None": {"kind": "notes", "key": "a", "fields": {}},
    "list[ListedConflict]": [{"id": "conflict-1", "fields": None}],
    "list[list[str]]": [["notes", "a"]],
}


def full(kind: type[Any]) -> Any:
    """Return an event with every field filled."""
    return kind(**{f.name: VALUES[str(f.type)] for f in fields(kind)})


@pytest.mark.parametrize("kind", get_args(ev.Event))
def test_every_kind_round_trips(kind: type[Any]) -> None:
    """Through JSON, as orjson writes a dataclass."""
    event = full(kind)
    written = orjson.dumps(event)
    name, version = kind_of(event)
    again = from_body(name, version, orjson.loads(written))
    assert (type(again), again) == (kind, event)
    assert ev.subject_of(event) == getattr(event, "id", "")


@pytest.mark.parametrize("kind", get_args(ev.Event))
def test_every_kind_round_trips_without_names(kind: type[Any]) -> None:
    """As the journal keeps it: values in order, the id beside them; what was added later has its default."""
    event = full(kind)
    name, version = kind_of(event)
    values = orjson.loads(orjson.dumps(codec.values_of(name)(event)))
    subject = ev.subject_of(event)
    assert from_values(name, version, subject, values) == event
    assert codec.named(codec.FIELDS[name], subject, values) == asdict(event)
    required = [f for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING]
    fewer = values[: len(required) - (codec.FIELDS[name][0] == "id")]
    assert from_values(name, version, subject, fewer) == kind(
        **{f.name: VALUES[str(f.type)] for f in required}
    )


def test_values_of_a_former_version_are_lifted(monkeypatch: pytest.MonkeyPatch) -> None:
    """They get the names of then, and the upcaster's change."""
    monkeypatch.setitem(codec.VERSIONS, "TaskReleased", 2)
    monkeypatch.setitem(codec.FORMER_FIELDS, ("TaskReleased", 1), ("id", "why"))
    monkeypatch.setitem(codec.UPCASTERS, ("TaskReleased", 1), lambda body: {"id": body["id"] + body["why"]})
    assert from_values("TaskReleased", 1, "task-", ["1"]) == ev.TaskReleased("task-1")


def test_every_kind_is_folded() -> None:
    """Each has a name of its own and a function in evolve, and so has what an erased one reads as."""
    assert set(KINDS.values()) | {ev.Erased} == set(APPLY) == {*get_args(ev.Event), ev.Erased}
    assert len(KINDS) == len(get_args(ev.Event))


@pytest.mark.parametrize(("kind", "version"), [("TaskSung", 1), ("TaskReleased", 2)])
def test_what_a_later_release_wrote_is_refused(kind: str, version: int) -> None:
    """An unknown kind or version is never half-understood."""
    with pytest.raises(UnknownKind, match=f"{kind} version {version}"):
        from_body(kind, version, {"id": "t"})


def test_older_versions_are_lifted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Step by step, each upcaster from one version to the next."""
    monkeypatch.setitem(codec.VERSIONS, "TaskCancelled", 3)
    monkeypatch.setitem(codec.UPCASTERS, ("TaskCancelled", 1), lambda body: {**body, "attempt": 0})
    monkeypatch.setitem(codec.UPCASTERS, ("TaskCancelled", 2), lambda body: {**body, "reason": "unknown"})
    assert from_body("TaskCancelled", 1, {"id": "t"}) == ev.TaskCancelled("t", 0, "unknown")
    assert kind_of(ev.TaskCancelled("t", 0, "x")) == ("TaskCancelled", 3)
