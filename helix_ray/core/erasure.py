"""Which facts concern the tasks and users of an erasure, and which are never erased.

A fact concerns a task if it is about the task or one of its shards. A fact concerns a user if it is about
their account and its documents, their refused requests, or a session, an API token, a device, a webhook, an
external worker or a task that they own; the receipts of their idempotency keys concern them too. Other facts
name a user only by id (members of projects, say): they stay, and so do the headers of all facts, which have
ids, addresses and times.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from helix_ray.core import events as ev
from helix_ray.core.state import State

# The record of who erased what, and why, is permanent.
NEVER_ERASED = (ev.ErasureRequested, ev.FactsErased, ev.ErasureCompleted)
_BEGINNINGS = (ev.TaskSubmitted, ev.TaskRestored)
REFUSALS = (ev.RequestsRefused, ev.LoginRefused)
_OF_A_USER = (ev.SessionOpened, ev.TokenCreated, ev.DeviceEnrolled)
_OWNED = (ev.WorkerRegistered, ev.WebhookCreated)
# Their `id` is a user's, a project's, a model's or a file's; they contain nothing else about users.
BY_ID_ONLY = (
    ev.MemberAdded, ev.MemberRemoved, ev.ProjectSet, ev.ProjectRemoved, ev.QuotaSet,
    # Their `id` is a model's name. A model outlives who pushed it.
    ev.ModelVersionPushed, ev.ModelVersionExamined, ev.ModelActivationAsked, ev.ModelActivated,
    ev.ModelRolledBack, ev.ModelCanarySet, ev.ModelVersionDeleted, ev.ModelDeleted, ev.ModelTuningBegun,
    ev.ModelTuned,
    # Its `id` is a class of data. It names what was read by its id.
    ev.DataRead,
    # Their `id` is a digest. What nothing uses goes by itself.
    ev.DatasetUploaded, ev.DatasetDeleted,
    # Their `id` is the name of a place where the audit is kept, too, what was found, or the audit.
    ev.AuditExported, ev.AuditCompared, ev.AuditRetentionSet, ev.AuditPruned, ev.JournalChecked,
    # Their `id` is the hash of a certificate, or the root of the tree.
    ev.CertificateChanged, ev.CertificateRefused, ev.CheckpointSigned,
)  # fmt: skip


class Concerned:
    """Selects the facts that concern some tasks and users; it must see all facts in order."""

    def __init__(self, tasks: Collection[str], users: Collection[str]) -> None:
        self._users = frozenset(users)
        self._receipts = tuple(f"{user}:" for user in users)
        self.tasks = set(tasks)
        # Ids of the tasks, users, sessions, tokens and workers that belong to them, by the facts so far.
        self.things = {*tasks, *users}
        # Failed sign-ins are recorded under the name that the account had.
        self._names: set[str] = set()

    def resume(self, facts: Iterable[ev.Fact], erasure_id: str) -> None:
        """Add the objects whose first facts an interrupted run of this erasure has erased."""
        for fact in facts:
            if isinstance(fact.event, ev.FactsErased) and fact.event.erasure == erasure_id:
                self.tasks.update(fact.event.tasks)
                self.things.update(fact.event.tasks, fact.event.others)

    def has(self, fact: ev.Fact) -> bool:
        """Say whether a fact concerns them and has a body to erase."""
        event = fact.event
        if isinstance(event, (ev.Erased, *NEVER_ERASED, *BY_ID_ONLY)):
            return False
        if isinstance(event, REFUSALS):
            return fact.actor in self._users or self._names_one(event)
        if isinstance(event, ev.ReceiptKept):
            return bool(self._receipts) and event.id.startswith(self._receipts)
        self._follow(event)
        return ev.subject_of(event) in self.things

    def _names_one(self, refused: ev.RequestsRefused | ev.LoginRefused) -> bool:
        """Say whether one of the subjects of refusals is one of theirs."""
        subjects = {refused.id}
        if isinstance(refused, ev.RequestsRefused):
            subjects.update(refused.subjects)
            if refused.kind != "login":
                return not subjects.isdisjoint(self.things)
        return not subjects.isdisjoint(self.things | self._names)

    def _follow(self, event: Any) -> None:
        """Add the object that a fact creates if it belongs to the tasks or users."""
        if isinstance(event, ev.UserCreated):
            # A name may be another user's later.
            self._names.discard(event.username)
            if event.id in self._users:
                self._names.add(event.username)
        elif isinstance(event, _BEGINNINGS):
            shard = event.spec.get("shard")
            if event.owner in self._users or (shard and shard["of"] in self.tasks):
                self.tasks.add(event.id)
                self.things.add(event.id)
        elif isinstance(event, _OF_A_USER):
            if event.user_id in self._users:
                self.things.add(event.id)
        elif isinstance(event, _OWNED) and event.owner in self._users:
            self.things.add(event.id)


def is_in_use(state: State, fact: ev.Fact) -> bool:
    """Say whether the subject of a fact is in the state; then the fact must not be erased, because the state
    is folded from it."""
    if isinstance(fact.event, (*REFUSALS, ev.ReceiptKept)):
        return False
    if isinstance(fact.event, (ev.DeviceEnrolled, ev.MutationsPushed)) and fact.event.user_id in state.users:
        # A used code stays used, and the user's documents outlive the device that wrote them.
        return True
    subject = ev.subject_of(fact.event)
    credentials = (state.sessions, state.tokens)
    return any(
        subject in things
        for things in (*credentials, state.tasks, state.users, state.workers, state.webhooks)
    )
