"""What devices have done while nobody saw them: mutations, in the order of their numbers, each of them once.

A mutation that is refused has had its number: those after it go on. Its refusal is remembered for a while, so
that a device whose answer was lost gets it again.

    documents   are merged (core/merging.py); the device's clock may be CLOCK_AHEAD_S_MAX ahead at most
    tasks       the functions that decide about the orders of the API decide here too, in the name of the
                device's user; a device's clock decides nothing

At most one mutation of an order concerns a task: a further one would have to be decided with the first one's
facts. So an order may stop in front of the second, and the receipt says how far it came.
"""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from typing import Final

from helix_ray.core.access import Principal, Verb, denied, may
from helix_ray.core.decide.devices import device_of
from helix_ray.core.decide.outcome import AnyDecision, Context, Decider, Decision
from helix_ray.core.decide.submit import submit
from helix_ray.core.decide.tasks import cancel, update
from helix_ray.core.devices import (
    CLOCK_AHEAD_S_MAX,
    DEVICE_PREFIX,
    DOCUMENT_BYTES_MAX,
    DOCUMENT_FIELDS_MAX,
    DOCUMENT_KEY_CHARS_MAX,
    DOCUMENT_KINDS,
    FIELD_NAME_CHARS_MAX,
    MUTATIONS_PER_PUSH_MAX,
    NO_DOCUMENTS,
    Document,
    DocumentKey,
    EnrolledDevice,
    Merging,
    Stamp,
    UserDocuments,
    bytes_of,
)
from helix_ray.core.errors import ErrorCode, NotInMemory, Rejected, conflict, forbidden, invalid, not_found
from helix_ray.core.events import ConflictResolved, Event, MutationsPushed
from helix_ray.core.events.devices import DocumentChange, ListedConflict
from helix_ray.core.merging import FieldsChange, Merged, apply, changes_anything, merge
from helix_ray.core.names import is_word
from helix_ray.core.orders import CancelTask, PushMutations, ResolveConflict, SubmitTasks, UpdateTask
from helix_ray.core.orders.devices import MutatedData, Mutation, MutationVerdict
from helix_ray.core.orders.kind import IdData

ABOUT_TASKS: Final = frozenset({"cancel", "edit", "submit"})
_NEEDED: Final = {"cancel": {"task_id"}, "edit": {"task_id", "edits"}, "submit": {"task"}}
CLOCK: Final = "clock"
_WHY: Final = {
    "deleted": "The document was deleted meanwhile: the change is listed as a conflict",
    "edited": "The document was changed meanwhile and is kept: the deletion is listed as a conflict",
    "manual": "The document was changed meanwhile: the change is listed as a conflict",
    "overwritten": "A later change of the same fields is kept: this one is listed as a conflict",
}


class _Documents:
    """The documents of a user with what an order has written so far."""

    def __init__(self, ctx: Context, user_id: str) -> None:
        self._ctx = ctx
        self._kept: UserDocuments = ctx.state.documents.get(user_id, NO_DOCUMENTS)
        self._written: dict[DocumentKey, Document] = {}
        self._live = self._kept.live
        self._size = self._kept.size
        self.changes: list[DocumentChange] = []
        self.conflicts: list[ListedConflict] = []

    def find(self, at: DocumentKey) -> Document | None:
        """Return a document as it is after what was written."""
        return self._written.get(at) or self._kept.documents.get(at)

    def take(self, at: DocumentKey, change: FieldsChange, number: int) -> Rejected | Merged:
        """Merge a change; refuse it where the result would be too large."""
        present = self.find(at)
        merged = merge(present, change)
        listed = [_listed(at, merged, i, change, number) for i in range(len(merged.listed))]
        after = _after(at, present, merged, change.merging, self._ctx.state.seq + 1)
        refused = self._refuse(present, after, listed)
        if refused is not None:
            return refused
        self.conflicts += listed
        if after is not None:
            self._written[at] = after
            self.changes.append(_written(after, merged))
        return merged

    def _refuse(
        self, present: Document | None, after: Document | None, listed: list[ListedConflict]
    ) -> Rejected | None:
        policy = self._ctx.policy
        before = 0 if present is None else present.size()
        size = before if after is None else after.size()
        if size > max(before, DOCUMENT_BYTES_MAX):
            return invalid("The document is too large", bytes=size, bytes_max=DOCUMENT_BYTES_MAX)
        if after is not None and len(after.fields) > DOCUMENT_FIELDS_MAX:
            return invalid("The document has too many fields", fields_max=DOCUMENT_FIELDS_MAX)
        live = self._live + (_lives(after) if after is not None else _lives(present)) - _lives(present)
        if live > max(self._live, policy.documents_per_user_max):
            limit = policy.documents_per_user_max
            return conflict("You have reached the maximum number of documents", documents_max=limit)
        total = self._size + size - before + sum(bytes_of(each["fields"]) for each in listed)
        if total > max(self._size, policy.document_bytes_per_user_max):
            limit = policy.document_bytes_per_user_max
            return conflict("Your documents and conflicts have too many bytes", bytes_max=limit)
        count = len(self._kept.conflicts) + len(self.conflicts)
        if listed and count + len(listed) > policy.sync_conflicts_per_user_max:
            limit = policy.sync_conflicts_per_user_max
            return conflict("You have too many conflicts: resolve some first", conflicts_max=limit)
        self._live, self._size = live, total
        return None

    def forgotten(self) -> list[list[str]]:
        """Return the oldest deleted documents where too many are remembered."""
        everything = {**self._kept.documents, **self._written}
        surplus = len(everything) - self._live - self._ctx.policy.deleted_documents_kept_max
        if surplus <= 0:
            return []
        dead = (each for each in everything.values() if each.deleted is not None)
        oldest = sorted(dead, key=lambda each: (each.version, each.kind, each.key))
        return [[each.kind, each.key] for each in oldest[:surplus]]


def _lives(document: Document | None) -> int:
    return int(document is not None and document.deleted is None)


def _after(
    at: DocumentKey, present: Document | None, merged: Merged, merging: Merging | None, version: int
) -> Document | None:
    """Return a document as it is after a merge; None where that changes nothing."""
    if not changes_anything(merged):
        return None
    after = Document(kind=at[0], key=at[1]) if present is None else copy(present)
    after.fields = dict(after.fields)
    after.merging = merging or after.merging
    apply(after, merged, version)
    return after


def _written(after: Document, merged: Merged) -> DocumentChange:
    return {
        "kind": after.kind,
        "key": after.key,
        "merging": after.merging,
        "fields": {name: [each.value, *each.stamp] for name, each in merged.fields.items()},
        "deleted": None if merged.deleted is None else list(merged.deleted),
        "whole": merged.whole,
    }


def _listed(at: DocumentKey, merged: Merged, index: int, change: FieldsChange, number: int) -> ListedConflict:
    """Return what is listed, by an id that is made from the device's and the mutation's number."""
    reason, fields, stamp = merged.listed[index]
    suffix = f"-{index + 1}" if index else ""
    return {
        "id": f"conflict-{change.stamp.device.removeprefix(DEVICE_PREFIX)}-{number}{suffix}",
        "reason": reason,
        "kind": at[0],
        "key": at[1],
        "fields": None if fields is None else dict(fields),
        "stamp": list(stamp),
        "mutation": number,
    }


class _Push:
    """One order: the verdicts so far, and what they lead to."""

    def __init__(self, ctx: Context, device: EnrolledDevice) -> None:
        self._ctx = ctx
        self._device = device
        self.documents = _Documents(ctx, device.user_id)
        self.of_task: AnyDecision | None = None
        self.stopped = False
        self.refused: list[Rejected] = []
        self.verdicts: list[MutationVerdict] = []

    def take(self, mutation: Mutation) -> NotInMemory | None:
        """Add the verdict of a mutation, or stop in front of it. A task that has left memory is asked for:
        then nothing is carried out."""
        if "invalid" in mutation:
            code, message, details = mutation["invalid"]
            self._add(mutation, Rejected(ErrorCode(code), message, details))
            return None
        if mutation["op"] not in ABOUT_TASKS:
            self._add(mutation, self._document(mutation))
            return None
        if self.of_task is not None:
            self.stopped = True
            return None
        outcome = self._task(mutation)
        if isinstance(outcome, NotInMemory):
            return outcome
        if not isinstance(outcome, Rejected):
            self.of_task = outcome
        self._add(mutation, outcome if isinstance(outcome, Rejected) else None)
        return None

    def _add(self, mutation: Mutation, outcome: Rejected | Merged | None) -> None:
        number = mutation["id"]
        if isinstance(outcome, Rejected):
            self.refused.append(outcome)
            code = CLOCK if outcome.details.get("field") == CLOCK else outcome.code.value
            self.verdicts.append({
                "id": number, "verdict": "refused", "code": code, "reason": outcome.message,
                "details": outcome.details,
            })  # fmt: skip
        elif outcome is not None and outcome.lost:
            reason = outcome.listed[0].reason
            self.verdicts.append(
                {"id": number, "verdict": "conflict", "code": reason, "reason": _WHY[reason], "details": {}}
            )
        else:
            self.verdicts.append({"id": number, "verdict": "applied"})

    # ------------------------------------------------------------------------------------- documents

    def _document(self, mutation: Mutation) -> Rejected | Merged:
        refused = _malformed(mutation) or self._ahead(mutation)
        if refused is not None:
            return refused
        stamp = Stamp(mutation["stamp"], mutation.get("counter", 0), self._device.id)
        seen = mutation.get("base_version") or 0
        change = FieldsChange(
            mutation["fields"] if mutation["op"] == "put" else None,
            stamp,
            # A version of before a backup was restored is not known here.
            seen if seen <= self._ctx.state.seq else 0,
            mutation.get("merge"),
        )
        return self.documents.take((mutation["kind"], mutation["key"]), change, mutation["id"])

    def _ahead(self, mutation: Mutation) -> Rejected | None:
        offset_ms = mutation["stamp"] - round(self._ctx.now * 1000)
        if offset_ms <= CLOCK_AHEAD_S_MAX * 1000:
            return None
        message = f"The device's clock is {offset_ms / 1000:.0f} s ahead of the server's"
        return invalid(message, field=CLOCK, offset_ms=offset_ms, ahead_s_max=CLOCK_AHEAD_S_MAX)

    # ----------------------------------------------------------------------------------------- tasks

    def _task(self, mutation: Mutation) -> AnyDecision | Rejected:
        user = self._ctx.state.users[self._device.user_id]
        by = Principal(user.id, user.username, user.roles, token=self._device.id)
        if not _NEEDED[mutation["op"]] <= mutation.keys():
            return invalid("The mutation lacks a field", fields=sorted(_NEEDED[mutation["op"]]))
        body, decider = _order_of(mutation)
        if not may(by, body):
            return denied(by, body)
        seed = f"{self._device.id.removeprefix(DEVICE_PREFIX)}-m{mutation['id']}"
        order = replace(self._ctx.order, by=by, seed=seed)
        found = decider(mutation, replace(self._ctx, order=order))
        if isinstance(found, Decision) and (why := found.data.get("rejected")):
            # A submit of one task.
            return found.refused[0] if found.refused else invalid(str(why))
        return found


def _order_of(mutation: Mutation) -> tuple[type[Verb], Decider]:
    """Return the kind of order that a mutation is, and what decides about it."""
    if mutation["op"] == "submit":
        return SubmitTasks, lambda m, ctx: submit(SubmitTasks((m["task"],)), ctx)
    if mutation["op"] == "edit":
        return UpdateTask, lambda m, ctx: update(UpdateTask(m["task_id"], edits=m["edits"]), ctx)
    return CancelTask, lambda m, ctx: cancel(CancelTask(m["task_id"]), ctx)


def _malformed(mutation: Mutation) -> Rejected | None:
    """Refuse a mutation of a document that names no document, or a field with an invalid name."""
    if mutation.get("kind") not in DOCUMENT_KINDS:
        return invalid("Unknown kind of document", field="kind", allowed_values=[*DOCUMENT_KINDS])
    if not is_word(mutation.get("key", ""), DOCUMENT_KEY_CHARS_MAX):
        return invalid("Invalid key of a document", field="key", chars_max=DOCUMENT_KEY_CHARS_MAX)
    if mutation["op"] == "delete":
        return None
    fields = mutation.get("fields")
    if fields is None:
        return invalid("A put must have fields", field="fields")
    return _bad_fields(fields)


def _bad_fields(fields: dict[str, object]) -> Rejected | None:
    if any(not 0 < len(name) <= FIELD_NAME_CHARS_MAX for name in fields):
        return invalid("Invalid name of a field", field="fields", chars_max=FIELD_NAME_CHARS_MAX)
    size = bytes_of(fields)
    if size > DOCUMENT_BYTES_MAX:
        return invalid("The document is too large", bytes=size, bytes_max=DOCUMENT_BYTES_MAX)
    return None


def push(body: PushMutations, ctx: Context) -> Decision[MutatedData] | Rejected:
    """Carry out the mutations that follow the last one; say of earlier ones what became of them."""
    device = device_of(ctx)
    if device is None:
        return forbidden("Only a device can send mutations", action="PushMutations")
    refused = _out_of_order(body.mutations, device)
    if refused is not None:
        return refused
    run = _Push(ctx, device)
    before = [_again(device, each["id"]) for each in body.mutations if each["id"] <= device.last_mutation]
    for mutation in body.mutations[len(before) :]:
        absent = run.take(mutation)
        if absent is not None:
            return absent
        if run.stopped:
            break
    last = device.last_mutation + len(run.verdicts)
    data: MutatedData = {
        "verdicts": before + run.verdicts,
        "last_mutation": last,
        "server_time": ctx.now,
    }
    if not run.verdicts:
        return Decision([], data)
    events: list[Event] = [] if run.of_task is None else [*run.of_task.events]
    events.append(_pushed(run, device, last))
    return Decision(events, data, refused=run.refused)


def _pushed(run: _Push, device: EnrolledDevice, last: int) -> MutationsPushed:
    noted = [
        [each["id"], each["verdict"], each["code"], each["reason"], each["details"]]
        for each in run.verdicts
        if each["verdict"] != "applied"
    ]
    documents = run.documents
    return MutationsPushed(
        device.id, device.user_id, last, documents.changes, documents.conflicts, noted,
        documents.forgotten() if documents.changes else [],
    )  # fmt: skip


def _out_of_order(mutations: tuple[Mutation, ...], device: EnrolledDevice) -> Rejected | None:
    if not mutations or len(mutations) > MUTATIONS_PER_PUSH_MAX:
        return invalid(
            "Invalid number of mutations", field="mutations", min=1, mutations_max=MUTATIONS_PER_PUSH_MAX
        )
    first, expected = mutations[0]["id"], device.last_mutation + 1
    if any(each["id"] != number for number, each in enumerate(mutations, first)):
        return invalid("The numbers of the mutations must follow each other", field="mutations")
    if first > expected:
        message = "Mutations are missing before these: send those from the expected number on"
        return conflict(message, expected=expected, got=first)
    return None


def _again(device: EnrolledDevice, number: int) -> MutationVerdict:
    """Return what became of a mutation that was sent before."""
    kept = device.verdicts.get(number)
    if kept is None:
        return {"id": number, "verdict": "already"}
    verdict, code, reason, details = kept
    return {"id": number, "verdict": verdict, "code": code, "reason": reason, "details": details}


def resolve(body: ResolveConflict, ctx: Context) -> Decision[IdData] | Rejected:
    """Decide about a conflict: keep the document as it is, write what is listed, or write other fields."""
    user_id = ctx.order.by.id
    kept = ctx.state.documents.get(user_id, NO_DOCUMENTS)
    found = kept.conflicts.get(body.conflict_id)
    if found is None:
        return not_found("Conflict", body.conflict_id)
    if body.keep == "current":
        return Decision([ConflictResolved(user_id, found.id, None)], {"id": found.id})
    if body.keep == "fields" and body.fields is None:
        return invalid("Fields must be given", field="fields")
    fields = body.fields if body.keep == "fields" else found.fields
    refused = None if fields is None else _bad_fields(fields)
    if refused is not None:
        return refused
    stamp = Stamp(round(ctx.now * 1000), 0, ctx.order.by.token or user_id)
    documents = _Documents(ctx, user_id)
    # Whoever decides has seen the document as it is.
    merged = documents.take((found.kind, found.key), FieldsChange(fields, stamp, ctx.state.seq), 0)
    if isinstance(merged, Rejected):
        return merged
    change = documents.changes[0] if documents.changes else None
    return Decision([ConflictResolved(user_id, found.id, change)], {"id": found.id})


MUTATION_ORDERS: dict[type, Decider] = {
    PushMutations: push,
    ResolveConflict: resolve,
}
