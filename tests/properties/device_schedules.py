"""Devices that are offline, and a network that loses, repeats and reorders: a schedule of steps, run on the
core with a clock as a number.

Every value that a device writes is unique. A device knows the values of its last pull, and its own. So the
law can be said without the rules of merging: an accepted value is in its document, or in the conflicts, or
somebody who knew it has replaced, deleted or decided about it.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from helix_ray.core import events as ev
from helix_ray.core import orders as o
from helix_ray.core import snapshot
from helix_ray.core.access import DEVICE, SYSTEM, Principal
from helix_ray.core.devices import CLOCK_AHEAD_S_MAX, NO_DOCUMENTS
from helix_ray.core.errors import Rejected
from helix_ray.core.evolve import evolve
from helix_ray.core.policy import Policy
from helix_ray.core.state import State
from tests.cast import slot
from tests.unit.core.stage import CAST, DEV, Stage

KEYS = ("a", "b", "c", "d")
FIELDS = ("x", "y")
DEVICES = 3
# Clocks of devices, in seconds beside the server's: slow, right, fast, and too fast.
CLOCKS = (-90_000.0, 0.0, 55.0, 600.0)
POLICY = Policy(deleted_documents_kept_max=1, devices_per_user_max=100)


@dataclass
class Offline:
    """A device: its queue, what it knows, and what it has sent before."""

    by: Principal
    clock: float
    number: int = 0
    queue: list[Any] = field(default_factory=list)
    sent: list[list[Any]] = field(default_factory=list)
    # By key: the version, and the values, of the last pull.
    rows: dict[str, tuple[int, dict[str, str]]] = field(default_factory=dict)
    own: dict[str, set[str]] = field(default_factory=dict)


class Schedule:
    """Runs steps, and keeps what was accepted, and by whom it was replaced knowingly."""

    def __init__(self) -> None:
        self.stage = Stage(POLICY)
        self.written = 0
        # Accepted values, with the key of their document; values that somebody decided about who knew them.
        self.accepted: dict[str, str] = {}
        self.decided: set[str] = set()
        self.verdicts: dict[tuple[str, int], tuple[str, str | None]] = {}
        # What each mutation wrote, and which values its author knew.
        self.made: dict[tuple[str, int], tuple[str, dict[str, str] | None, set[str]]] = {}
        self.devices = [self.enrolled(i) for i in range(DEVICES)]

    def enrolled(self, number: int) -> Offline:
        """Enrol a device of the user."""
        code = f"code-{self.stage.serial}"
        self.stage.give(o.IssueDeviceCode(code), DEV)
        data = self.stage.give(o.EnrolDevice(code, f"hash-{code}", "a1B2", "phone", "phone"), SYSTEM)
        by = Principal(DEV.id, DEV.name, (DEVICE,), token=data["id"])
        return Offline(by, CLOCKS[number % len(CLOCKS)])

    # ----------------------------------------------------------------------------------------- steps

    def put(self, device: int, key: int, fields: int, clock: int) -> None:
        """Write one field of a document, or both, offline; perhaps after the device's clock was set."""
        at = self.devices[device]
        at.clock = CLOCKS[clock % len(CLOCKS)]
        names = FIELDS[: 1 + fields % len(FIELDS)] if fields % 3 else FIELDS[1:]
        values = {name: self._unique(name) for name in names}
        merge = {"merge": "manual"} if KEYS[key] == "d" else {}
        self._queue(at, {"op": "put", "key": KEYS[key], "fields": values, **merge})

    def delete(self, device: int, key: int, *_: int) -> None:
        """Delete a document, offline."""
        self._queue(self.devices[device], {"op": "delete", "key": KEYS[key]})

    def push(self, device: int, count: int, lost: int, _: int) -> None:
        """Send some of the queue: the request is lost, or its answer, or neither."""
        at = self.devices[device]
        batch = at.queue[: 1 + count]
        if not batch:
            return
        at.sent.append(batch)
        if lost == 1:
            return
        if self._send(at, batch) and lost != 2:
            last = self.stage.state.devices[at.by.token or ""].last_mutation
            at.queue = [each for each in at.queue if each["id"] > last]

    def repeat(self, device: int, which: int, *_: int) -> None:
        """A request of before arrives (again), late."""
        at = self.devices[device]
        if at.sent:
            self._send(at, at.sent[which % len(at.sent)])

    def pull(self, device: int, *_: int) -> None:
        """Get all live documents; what was sent and is in them is not queued any more."""
        at = self.devices[device]
        known = self.stage.state.devices.get(at.by.token or "")
        if known is None:
            return
        at.queue = [each for each in at.queue if each["id"] > known.last_mutation]
        at.rows = {
            key: (document.version, document.values())
            for (_, key), document in self._kept().documents.items()
            if document.deleted is None
        }

    def decide(self, which: int, how: int, *_: int) -> None:
        """The user, who sees the document and the conflict, decides about it; without a role they cannot."""
        kept = self._kept()
        if not kept.conflicts or not self.stage.state.users[DEV.id].roles:
            return
        conflict = list(kept.conflicts.values())[which % len(kept.conflicts)]
        keep = ("current", "listed", "fields")[how % 3]
        fields = {FIELDS[0]: self._unique(FIELDS[0])} if keep == "fields" else None
        document = kept.documents.get((conflict.kind, conflict.key))
        self.decided |= set((conflict.fields or {}).values())
        if keep != "current" and document is not None:
            self.decided |= set(document.values().values())
        self.stage.give(o.ResolveConflict(conflict.id, keep, fields), DEV)  # type: ignore[arg-type]

    def permit(self, roles: int, *_: int) -> None:
        """The user loses all roles, or gets them again."""
        given = ["developer"] if roles % 2 else []
        self.stage.fold(ev.RolesChanged(DEV.id, given))

    def revoke(self, device: int, *_: int) -> None:
        """A device is lost, and another one enrolled in its place; what was never accepted is gone."""
        at = self.devices[device]
        if not self.stage.state.users[DEV.id].roles:
            self.permit(1)
        self.stage.give(o.RevokeDevice(at.by.token or ""), DEV)
        assert isinstance(self._answer(at, [{**_EMPTY, "id": at.number + 1}]), Rejected)
        self.devices[device] = self.enrolled(device)

    def compact(self, *_: int) -> None:
        """The state is written to a snapshot and read again."""
        dumped = snapshot.dump(self.stage.state)
        self.stage.state = snapshot.load(deepcopy(dumped))
        assert snapshot.dump(self.stage.state) == dumped

    def wait(self, minutes: int, *_: int) -> None:
        """Time passes."""
        self.stage.now += 60.0 * (1 + minutes) ** 3

    # ----------------------------------------------------------------------------------------- the end

    def settle(self) -> None:
        """The network is back: every device sends all that it has, and pulls."""
        self.permit(1)
        for at in self.devices:
            while at.queue:
                assert self._send(at, at.queue[:7]), at
                at.queue = at.queue[7:]
        for number in range(len(self.devices)):
            self.pull(number)

    def judge(self) -> None:
        """Say whether nothing that was accepted is lost, and nothing that was refused is there."""
        rows = [at.rows for at in self.devices]
        assert rows == [rows[0]] * len(rows)
        kept = self._kept()
        there = {value for each in kept.documents.values() for value in each.values().values()}
        there |= {value for each in kept.conflicts.values() for value in (each.fields or {}).values()}
        lost = self.accepted.keys() - there - self.decided
        assert not lost, lost
        refused = {
            value
            for name, (verdict, _) in self.verdicts.items()
            if verdict == "refused"
            for value in (self.made[name][1] or {}).values()
        }
        assert not refused & there
        assert self.stage.sound()
        assert snapshot.dump(self.folded()) == snapshot.dump(self.stage.state)

    def folded(self) -> State:
        """Return the state that the facts fold into."""
        state = State()
        slot(state, *CAST)
        for fact in self.stage.facts:
            evolve(state, fact)
        return state

    # ------------------------------------------------------------------------------------------ within

    def _kept(self) -> Any:
        return self.stage.state.documents.get(DEV.id, NO_DOCUMENTS)

    def _unique(self, name: str) -> str:
        """Return a value that tells its field."""
        self.written += 1
        return f"{name}{self.written}"

    def _queue(self, at: Offline, mutation: dict[str, Any]) -> None:
        at.number += 1
        key = mutation["key"]
        version, values = at.rows.get(key, (None, {}))
        known = {*values.values(), *at.own.get(key, ())}
        self.made[at.by.token or "", at.number] = (key, mutation.get("fields"), known)
        at.own.setdefault(key, set()).update((mutation.get("fields") or {}).values())
        stamp = round((self.stage.now + at.clock) * 1000)
        at.queue.append(
            {"kind": "notes", **mutation, "id": at.number, "stamp": stamp, "base_version": version}
        )

    def _answer(self, at: Offline, batch: list[Any]) -> Any:
        decided = self.stage.decide(o.PushMutations(tuple(batch)), at.by)
        if not isinstance(decided, Rejected):
            for event in decided.events:  # type: ignore[union-attr]
                self.stage.fold(event, at.by)
            return decided.data
        return decided

    def _send(self, at: Offline, batch: list[Any]) -> bool:
        """Deliver a request; return whether it was answered with verdicts."""
        before = self.stage.state.seq
        data = self._answer(at, batch)
        if isinstance(data, Rejected):
            assert "expected" in data.details or not self.stage.state.users[DEV.id].roles, data
            return False
        assert [each["id"] for each in data["verdicts"]] == [each["id"] for each in batch]
        fresh = [each for each in data["verdicts"] if self._is_fresh((at.by.token or "", each["id"]), each)]
        assert bool(fresh) == (self.stage.state.seq > before)
        sent = {each["id"]: each for each in batch}
        for each in fresh:
            self._account((at.by.token or "", each["id"]), each, sent[each["id"]])
        return True

    def _is_fresh(self, name: tuple[str, int], verdict: Any) -> bool:
        """Say whether a mutation was carried out now; one of before has the same verdict, or `already`."""
        first = self.verdicts.get(name)
        if first is None:
            return True
        said = (verdict["verdict"], verdict.get("code"))
        assert said == (("already", None) if first[0] == "applied" else first)
        return False

    def _account(self, name: tuple[str, int], verdict: Any, sent: Any) -> None:
        """Note what was accepted, and that its author has replaced what they knew."""
        self.verdicts[name] = (verdict["verdict"], verdict.get("code"))
        key, fields, known = self.made[name]
        ahead = sent["stamp"] - self.stage.now * 1000 > CLOCK_AHEAD_S_MAX * 1000
        assert (verdict["verdict"] == "refused") == ahead, verdict
        if ahead:
            return
        for value in (fields or {}).values():
            self.accepted[value] = key
        if verdict["verdict"] == "applied" or verdict.get("code") == "overwritten":
            self.decided |= {value for value in known if fields is None or value[0] in fields}


_EMPTY: Any = {"op": "put", "kind": "notes", "key": "a", "fields": {}, "stamp": 0}
STEPS = (
    "put", "put", "put", "delete", "push", "push", "repeat", "pull", "pull", "decide", "permit", "revoke",
    "compact", "wait",
)  # fmt: skip
