"""What a device knows: rows from the server, changes of its own that are not there yet, and its place.

    queue      mutations with contiguous numbers, in the order in which they were made. They stay until a
               pull says that its rows contain them (`last_mutation`), so nothing disappears in between
    rows       what the last complete pull left. Pages are collected beside them, and replace them when the
               server says that there is no more: rows are always those of one moment
    cursor     the place in the server's list; None begins a first pull
    refused    what the server did not accept, with its reason. A refused mutation is gone from the queue, and
               what follows it goes on

Nothing here sends or writes anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypedDict
from zlib import crc32

from helix_ray.devices.store import State

SUM_MODULUS = 1 << 48
REFUSALS_KEPT_MAX = 100
# Beside what the server wants to know of a mutation, what only the device needs.
OWN_FIELDS = frozenset({"corrected"})
# A stamp is never before the one before it, unless that was of a clock that was wrong by more than this.
CLOCK_WRONG_MS_MIN = 60_000


class RefusedMutation(TypedDict):
    """A mutation that the server did not accept."""

    mutation: State
    code: str | None
    reason: str | None


class KeptRow(TypedDict):
    """A thing as the server has it."""

    kind: str
    key: str
    version: int
    row: State


class Diverged(Exception):
    """The rows are not those of the server, twice in a row: a bug, on this side or on the other."""


class Replica:
    """The state of a device; `state` is its JSON."""

    def __init__(self, state: Mapping[str, Any] | None = None) -> None:
        kept = dict(state or {})
        self.cursor: str | None = kept.get("cursor")
        self.rows: dict[str, KeptRow] = kept.get("rows", {})
        self.queue: list[State] = kept.get("queue", [])
        self.next_id: int = kept.get("next_id", 1)
        self.sent: int = kept.get("sent", 0)
        self.refused: list[RefusedMutation] = kept.get("refused", [])
        # Seconds by which the server's clock is ahead of this device's.
        self.offset_s: float = kept.get("offset_s", 0.0)
        self.last_stamp: int = kept.get("last_stamp", 0)
        self._staged: dict[str, KeptRow] | None = None
        self._place = self.cursor
        # Whether the pages that are collected belong to a first pull.
        self._fresh = False
        self.resets = 0

    def state(self) -> State:
        """Return everything that must survive; pages of an unfinished pull need not."""
        return {
            "cursor": self.cursor, "rows": self.rows, "queue": self.queue, "next_id": self.next_id,
            "sent": self.sent, "refused": self.refused, "offset_s": self.offset_s,
            "last_stamp": self.last_stamp,
        }  # fmt: skip

    # -------------------------------------------------------------------------------------- its own changes

    def add(self, mutation: Mapping[str, Any]) -> int:
        """Queue a mutation and return its number."""
        number = self.next_id
        self.next_id += 1
        self.queue.append({"id": number, **mutation})
        return number

    def stamp(self, now_s: float) -> int:
        """Return when something is done that is done now, in milliseconds of the server's clock as far as it
        is known: not before what was done before."""
        now_ms = int((now_s + self.offset_s) * 1000)
        if now_ms < self.last_stamp <= now_ms + CLOCK_WRONG_MS_MIN:
            now_ms = self.last_stamp
        self.last_stamp = now_ms
        return now_ms

    def unsent(self, limit: int) -> list[State]:
        """Return the next mutations for the server, in order."""
        left = [each for each in self.queue if each["id"] > self.sent][:limit]
        return [{name: each[name] for name in each if name not in OWN_FIELDS} for each in left]

    def take_verdicts(self, verdicts: Sequence[Mapping[str, Any]]) -> list[RefusedMutation]:
        """Take the answer to a push; return the refused mutations, each with code and reason."""
        queued = {each["id"]: each for each in self.queue}
        refused: list[RefusedMutation] = [
            {"mutation": queued.pop(each["id"]), "code": each.get("code"), "reason": each.get("reason")}
            for each in verdicts
            if each["verdict"] == "refused" and each["id"] in queued
        ]
        self.sent = max([self.sent, *(each["id"] for each in verdicts)])
        self.queue = list(queued.values())
        self.refused = (self.refused + refused)[-REFUSALS_KEPT_MAX:]
        return refused

    def leave_out(self, number: int, code: str, reason: str) -> None:
        """Take out a mutation that the server cannot read: those behind it get the numbers before theirs."""
        found = next(each for each in self.queue if each["id"] == number)
        self.queue.remove(found)
        for each in self.queue:
            each["id"] -= each["id"] > number
        self.next_id -= 1
        refused: RefusedMutation = {"mutation": found, "code": code, "reason": reason}
        self.refused = [*self.refused, refused][-REFUSALS_KEPT_MAX:]

    def expect(self, expected: int) -> None:
        """Take the number that the server expects next, where it did not expect ours: what it has is not
        sent again, and what it has lost (it was restored from a backup) gets the numbers that it expects."""
        left = [each for each in self.queue if each["id"] >= expected]
        if left and left[0]["id"] > expected:
            for number, each in enumerate(left, expected):
                each["id"] = number
        self.queue = [each for each in self.queue if each["id"] < expected] + left
        self.sent = expected - 1
        self.next_id = max(expected, expected + len(left))

    # ------------------------------------------------------------------------------------------ pulling

    @property
    def place(self) -> str | None:
        """The cursor of the next pull; None begins a first pull."""
        return self._place

    def restart(self) -> None:
        """Begin a first pull; the rows stay until it is complete."""
        self._place, self._staged = None, None
        self.resets += 1

    def take_page(self, page: Mapping[str, Any]) -> bool:
        """Take a page; return whether the device has everything now. A wrong checksum begins a first pull."""
        if self._staged is None:
            self._fresh = self._place is None
            self._staged = {} if self._fresh else dict(self.rows)
        for change in page["changes"]:
            name = f"{change['kind']}/{change['key']}"
            if change["op"] == "delete":
                self._staged.pop(name, None)
            else:
                self._staged[name] = _row_of(change)
        self._place = page["cursor"]
        if page["has_more"]:
            return False
        staged, self._staged = self._staged, None
        if checksum_of(staged.values()) != page["checksum"]:
            if self._fresh:
                raise Diverged(f"{len(staged)} rows, and the server has {page['rows']}")
            self.restart()
            return False
        self.rows, self.cursor = staged, self._place
        self.queue = [each for each in self.queue if each["id"] > page["last_mutation"]]
        self.sent = max(self.sent, page["last_mutation"])
        return True

    # ------------------------------------------------------------------------------------------ reading

    def shown(self, kind: str) -> dict[str, State]:
        """Return the rows of a kind by key, with the device's own changes that are not in them yet."""
        found = {row["key"]: dict(row["row"]) for row in self.rows.values() if row["kind"] == kind}
        for mutation in self.queue:
            if mutation.get("kind") != kind:
                continue
            key = mutation["key"]
            if mutation["op"] == "delete":
                found.pop(key, None)
            elif mutation["op"] == "put":
                found[key] = found.get(key, {}) | mutation["fields"]
        return found

    def version(self, kind: str, key: str) -> int | None:
        """Return the version of a row as the device last saw it; None where it has none."""
        row = self.rows.get(f"{kind}/{key}")
        return None if row is None else row["version"]


def _row_of(change: Mapping[str, Any]) -> KeptRow:
    return {"kind": change["kind"], "key": change["key"], "version": change["version"], "row": change["row"]}


def checksum_of(rows: Iterable[KeptRow]) -> str:
    """Return the checksum of rows: the sum of the CRC-32 of `kind/key@version` of each, modulo 2**48."""
    total = sum(crc32(f"{row['kind']}/{row['key']}@{row['version']}".encode()) for row in rows)
    return f"{total % SUM_MODULUS:012x}"
