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
# Changes with what the same facts are recorded as: the history is then rebuilt (views/file.py).
RECORDS_VERSION: Final = 6
# What checks found.
_WRONG: Final = ("differs", "damaged")
# Of an act on many things, the first ones are named.
NAMED_MAX: Final = 5
# What a record says of a fact without a word of its users' data.
_SHOWN: Final = frozenset({
    "user_id", "username", "name", "roles", "projects", "expires_at", "reason", "kind", "count", "since",
    "limits", "weight", "members", "version", "percent", "draining", "type", "cause", "tasks",
    "users", "facts", "kept", "shown", "hostname", "owner", "activate", "kept_session", "conflict", "asked",
    "gap", "status", "certificate", "exported_through", "checkpoint_size", "checkpoint_root", "gap_from",
    "gap_to", "place", "damage", "difference", "built_anew",
})  # fmt: skip
# By the names of kinds. What was refused, and how often, was erased.
_RESULTS: Final[dict[str, Result]] = {
    ev.LoginRefused.__name__: "failure",
    ev.CertificateRefused.__name__: "failure",
    ev.RequestsRefused.__name__: "denied",
}
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
    # The user whom it removes, and who is then a member of no project.
    leaver: str = ""
    before: Settings | None = None
    after: Settings | None = None


class Recorder:
    """Makes the records of a batch of facts, in their order."""

    def __init__(self) -> None:
        self.records: list[AuditRecord] = []
        self._open: AuditRecord | None = None
        self._of: tuple[Act, str, str, float, Origin] | None = None
        # How the tasks of the open record were edited, where it is not erased.
        self._edits: Mapping[str, object] = {}
        # The newest fact that was erased.
        self._lost = 0

    def note(self, fact: ev.Fact) -> None:
        """Add a fact. For a task of a request this is a comparison and a count."""
        event = fact.event
        kind = type(event)
        act = ACTS.get(kind)
        if act is None:
            if isinstance(event, ev.Erased):
                self._lost = fact.seq
                act = _act_of_erased(fact, event)
            elif kind in BY_PEOPLE and _of_a_person(fact):
                act = BY_PEOPLE[kind]
            if act is None:
                return
        if not act.many:
            self._open = None
            self.records.append(_made(fact, act))
            return
        # Clients may choose the ids of their requests: what is done later, from elsewhere or otherwise under
        # the same id is another act.
        of = (act, fact.request_id, fact.actor, fact.at, fact.origin)
        edits = _edited(event) if isinstance(event, ev.TaskEdited) else {}
        opened = self._open
        if opened is None or of != self._of or (edits and self._edits and edits != self._edits):
            self._of, self._open, self._edits = of, _made(fact, act), edits
            self.records.append(self._open)
            return
        self._edits = self._edits or edits
        opened.count += 1
        opened.last_seq = fact.seq
        if self._lost > opened.seq:
            _blank(opened)
        if not opened.erased and len(opened.ids) < NAMED_MAX:
            opened.ids.append(ev.subject_of(event))

    def cut(self) -> None:
        """Begin another record with the next fact, whatever it is, as at the beginning of a batch."""
        self._open = None


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


def _act_of_erased(fact: ev.Fact, event: ev.Erased) -> Act | None:
    """Return what an erased fact was an act of; None for what was none, as far as can be known."""
    act = BY_NAME.get(event.kind)
    return None if act in BY_PEOPLE.values() and fact.actor == SYSTEM.id else act


def _made(fact: ev.Fact, act: Act) -> AuditRecord:
    return _erased(fact, act) if isinstance(fact.event, ev.Erased) else _record(fact, act)


def _blank(record: AuditRecord) -> None:
    """Leave who acted, when and on how many things."""
    record.erased, record.resource_id, record.ids, record.details = True, "", [], {}


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
    if isinstance(event, ev.UserRemoved):
        found.leaver = event.id
    elif isinstance(event, (ev.LoginRefused, ev.CertificateRefused)):
        found.result = "failure"
    elif isinstance(event, ev.RequestsRefused):
        found.result = "denied"
        found.count = event.count
        # Who guesses at many accounts is seen at each of them.
        found.ids = [event.id, *event.subjects] if event.subjects else []
        if event.kind in CREDENTIAL_REFUSALS:
            found.event_type, found.result = "authentication", "failure"
            found.action = "login" if event.kind == "login" else USE_TOKEN
    elif isinstance(event, ev.AuditCompared | ev.JournalChecked) and event.id in _WRONG:
        found.result = "failure"
    elif isinstance(event, ev.DataRead):
        found.action, found.resource, found.resource_id = f"read_{event.id}", event.id, ""
        found.count, found.ids = event.count, event.ids
    return found


def _erased(fact: ev.Fact, act: Act) -> AuditRecord:
    event: Any = fact.event
    return AuditRecord(
        fact.seq, fact.seq, fact.at, act.type, act.action, _RESULTS.get(event.kind, "success"), fact.actor,
        fact.request_id, fact.origin, act.resource, "", erased=True,
        leaver=event.id if event.kind == ev.UserRemoved.__name__ else "",
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
    is in the task. All tasks of one record were changed alike."""
    names: dict[str, object] = {"changed": sorted(event.changes)}
    return {**names, "priority": event.changes["priority"]} if "priority" in event.changes else names


def _short(value: Any) -> object:
    if isinstance(value, str):
        return value[:_TEXT_CHARS_MAX]
    if isinstance(value, list):
        return [_short(item) for item in value[:_ITEMS_MAX]]
    return value
