"""Folds facts into audit records: one for each act, and one for all tasks of a request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, Literal

from helix_ray.core import events as ev
from helix_ray.core.access import SYSTEM
from helix_ray.core.audit.kinds import (
    ACTS,
    BY_NAME,
    BY_PEOPLE,
    CREDENTIAL_REFUSALS,
    USE_TOKEN,
    Act,
    AuditType,
)
from helix_ray.core.audit.settings import Settings, SettingsChange, change_of
from helix_ray.core.origin import Origin
from helix_ray.core.secrets import MASK, masked

Result = Literal["success", "failure", "denied"]
# Of an act on many things, the first ones are named.
NAMED_MAX: Final = 5
# What a record says of a fact without a word of its users' data.
_SHOWN: Final = frozenset({
    "user_id", "username", "name", "roles", "projects", "expires_at", "reason", "kind", "count", "since",
    "limits", "weight", "members", "version", "percent", "draining", "type", "cause", "tasks",
    "users", "facts", "kept", "shown", "hostname", "owner", "activate", "kept_session", "conflict", "asked",
    "gap", "status", "certificate", "exported_through", "checkpoint_size", "checkpoint_root", "gap_from",
    "gap_to",
})  # fmt: skip
_TEXT_CHARS_MAX: Final = 500
_ITEMS_MAX: Final = 20


@dataclass(slots=True)
class AuditRecord:
    """An act: `seq` and `last_seq` are its first and last fact, `count` the number of its things."""

    seq: int
    last_seq: int
    at: float
    event_type: AuditType
    action: str
    result: Result
    user_id: str
    request_id: str
    origin: Origin
    resource: str
    resource_id: str
    count: int = 1
    ids: list[str] = field(default_factory=list)
    details: Mapping[str, object] = field(default_factory=dict)
    erased: bool = False
    # What it has set; before and after are known where the records before it are (views/audit.py).
    change: SettingsChange | None = None
    before: Settings | None = None
    after: Settings | None = None


class Recorder:
    """Makes the records of a batch of facts, in their order."""

    def __init__(self) -> None:
        self.records: list[AuditRecord] = []
        self._open: AuditRecord | None = None
        self._of: tuple[type[Any], str, str] | None = None

    def note(self, fact: ev.Fact) -> None:
        """Add a fact. For a task of a request this is a comparison and a count."""
        kind = type(fact.event)
        act = ACTS.get(kind)
        if act is None:
            if kind is ev.Erased:
                self._note_erased(fact)
                return
            act = BY_PEOPLE.get(kind)
            if act is None or not _of_a_person(fact):
                return
        if not act.many:
            self._open = None
            self.records.append(_record(fact, act))
            return
        of = (kind, fact.request_id, fact.actor)
        opened = self._open
        if opened is not None and of == self._of:
            opened.count += 1
            opened.last_seq = fact.seq
            if len(opened.ids) < NAMED_MAX:
                opened.ids.append(ev.subject_of(fact.event))
            return
        self._of, self._open = of, _record(fact, act)
        self.records.append(self._open)

    def _note_erased(self, fact: ev.Fact) -> None:
        event: Any = fact.event
        act = BY_NAME.get(event.kind)
        if act is None:
            return
        self._open = None
        self.records.append(_erased(fact, act))


def records_of(facts: Iterable[ev.Fact]) -> list[AuditRecord]:
    """Return the records of facts."""
    recorder = Recorder()
    for fact in facts:
        recorder.note(fact)
    return recorder.records


def _of_a_person(fact: ev.Fact) -> bool:
    event = fact.event
    if isinstance(event, ev.TaskRequeued) and event.cause != "manual":
        return False
    return fact.actor != SYSTEM.id


def _record(fact: ev.Fact, act: Act) -> AuditRecord:
    event: Any = fact.event
    subject = ev.subject_of(event)
    user = fact.actor
    if isinstance(event, ev.SessionOpened):
        # Replicas open sessions for those who have no session yet.
        user = event.user_id
    details = _edited(event) if isinstance(event, ev.TaskEdited) else {} if act.many else _details(event)
    found = AuditRecord(
        fact.seq, fact.seq, fact.at, act.type, act.action, "success", user, fact.request_id, fact.origin,
        act.resource, subject, ids=[subject] if act.many else [], details=details,
        change=None if act.many else change_of(event),
    )  # fmt: skip
    if isinstance(event, (ev.LoginRefused, ev.CertificateRefused)):
        found.result = "failure"
    elif isinstance(event, ev.RequestsRefused):
        found.result = "denied"
        found.count = event.count
        if event.kind in CREDENTIAL_REFUSALS:
            found.event_type, found.result = "authentication", "failure"
            found.action = "login" if event.kind == "login" else USE_TOKEN
    elif isinstance(event, ev.DataRead):
        found.action, found.resource, found.resource_id = f"read_{event.id}", event.id, ""
        found.count, found.ids = event.count, event.ids
    return found


def _erased(fact: ev.Fact, act: Act) -> AuditRecord:
    return AuditRecord(
        fact.seq, fact.seq, fact.at, act.type, act.action, "success", fact.actor, fact.request_id,
        fact.origin, act.resource, "", erased=True,
    )  # fmt: skip


def _details(event: Any) -> dict[str, object]:
    """Return what a record says of a fact, secrets masked, in bounded size."""
    shown = masked(event)
    return {
        spec.name: _short(value)
        for spec in fields(shown)
        if spec.name in _SHOWN and (value := getattr(shown, spec.name)) not in (None, MASK)
    }


def _edited(event: ev.TaskEdited) -> dict[str, object]:
    """Return which fields of a task were changed, and its priority where that is one: what people write there
    is in the task. All tasks of one request were changed alike."""
    names: dict[str, object] = {"changed": sorted(event.changes)}
    return {**names, "priority": event.changes["priority"]} if "priority" in event.changes else names


def _short(value: Any) -> object:
    if isinstance(value, str):
        return value[:_TEXT_CHARS_MAX]
    if isinstance(value, list):
        return [_short(item) for item in value[:_ITEMS_MAX]]
    return value
