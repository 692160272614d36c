"""Which facts say something about tasks and users that are to be erased, and what is never erased.

A fact concerns a task when it is about it, or about one of its shards. It concerns a user when it is
about their account, a session, an API token, an external worker or a task of theirs, or about requests
of theirs that were refused; so do the receipts of their idempotency keys. Other facts that name a user
do so by id only (members of projects, say): they stay, and so do the headers of all facts, which have
ids, addresses and times.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from helix_ray.core import events as ev
from helix_ray.core.state import State

# Who erased what, and why, is on record for good.
NEVER_ERASED = (ev.ErasureRequested, ev.FactsErased, ev.ErasureCompleted)
_BEGINNINGS = (ev.TaskSubmitted, ev.TaskRestored)
_REFUSALS = (ev.RequestsRefused, ev.LoginRefused)
_OF_A_USER = (ev.SessionOpened, ev.TokenCreated)
# Their `id` is a user's or a project's: of users they have the id only.
_BY_ID_ONLY = (ev.MemberAdded, ev.MemberRemoved, ev.ProjectSet, ev.ProjectRemoved, ev.QuotaSet)


class Concerned:
    """Picks the facts that concern some tasks and users out of all facts, which it must see in order."""

    def __init__(self, tasks: Collection[str], users: Collection[str]) -> None:
        self._users = frozenset(users)
        self._receipts = tuple(f"{user}:" for user in users)
        self.tasks = set(tasks)
        # Ids of tasks, users, sessions, tokens and workers that the facts so far lead to.
        self.things = {*tasks, *users}

    def resume(self, facts: Iterable[ev.Fact], erasure_id: str) -> None:
        """Note the things of which an erasure that was cut short has erased the beginnings."""
        for fact in facts:
            if isinstance(fact.event, ev.FactsErased) and fact.event.erasure == erasure_id:
                self.tasks.update(fact.event.tasks)
                self.things.update(fact.event.tasks, fact.event.others)

    def has(self, fact: ev.Fact) -> bool:
        """Say whether a fact has something to erase that concerns them."""
        event = fact.event
        if isinstance(event, (ev.Erased, *NEVER_ERASED, *_BY_ID_ONLY)):
            return False
        if isinstance(event, _REFUSALS):
            return fact.actor in self._users or event.id in self.things
        if isinstance(event, ev.ReceiptKept):
            return bool(self._receipts) and event.id.startswith(self._receipts)
        self._follow(event)
        return ev.subject_of(event) in self.things

    def _follow(self, event: Any) -> None:
        """Note the thing that a fact begins, where it belongs to what is to be erased."""
        if isinstance(event, _BEGINNINGS):
            shard = event.spec.get("shard")
            if event.owner in self._users or (shard and shard["of"] in self.tasks):
                self.tasks.add(event.id)
                self.things.add(event.id)
        elif isinstance(event, _OF_A_USER):
            if event.user_id in self._users:
                self.things.add(event.id)
        elif isinstance(event, ev.WorkerRegistered) and event.owner in self._users:
            self.things.add(event.id)


def is_in_use(state: State, fact: ev.Fact) -> bool:
    """Say whether what a fact is about is in the state, which was folded from it:
    then it must not be erased."""
    if isinstance(fact.event, (*_REFUSALS, ev.ReceiptKept)):
        return False
    subject = ev.subject_of(fact.event)
    return any(
        subject in things
        for things in (state.tasks, state.users, state.sessions, state.tokens, state.workers)
    )
