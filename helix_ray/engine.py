"""Carries out orders: decides them, makes their facts durable, and returns receipts.

`execute` runs to completion without an await, so no other code sees a state between its steps:

    0. admit    refuse values that are not plain (core/admission.py), from whichever interface they came; seal
                what must not be kept in plain text (ADR 57)
    1. decide   decide each order against the state after the orders before it in the batch; where there is no
                disk space for its facts it is refused here, before anything has changed
    2. evolve   fold its facts, so that the next order of the batch sees them
    3. append   append all facts of the batch to the journal in one durable commit; then announce the changed
                tasks, so that no cache answers with their old views
    4. answer   only now are receipts returned, and only now may a reader look at the state
    5. wake     the caller wakes the followers

Folding before appending is safe because no reader runs in between, and because a failed append ends the
process (JournalFailed is not caught): the next process folds what is on disk. Nothing is repaired in place.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import replace
from typing import Protocol

from helix_ray.core import admission, snapshot
from helix_ray.core.about import about
from helix_ray.core.access import Principal
from helix_ray.core.answers import answer, steps
from helix_ray.core.answers.picture import Picture
from helix_ray.core.authority import admit, as_of
from helix_ray.core.decide import decide
from helix_ray.core.erasure_record import Erasure
from helix_ray.core.errors import ErrorCode, Rejected
from helix_ray.core.events import Fact, FactsErased, SessionOpened
from helix_ray.core.evolve import evolve
from helix_ray.core.feeds import shown_to
from helix_ray.core.liveness import Heard, Liveness, Sign
from helix_ray.core.orders import AnyOrder, AnyReceipt, Receipt, Refusal
from helix_ray.core.placement.tracked import TrackedFleet
from helix_ray.core.policy import Policy
from helix_ray.core.questions import Identify, QuestionKind, View
from helix_ray.core.refusals import Tally, refusal_of_order, refusal_of_question
from helix_ray.core.sign_ins import SignIns
from helix_ray.core.state import State
from helix_ray.core.views.tasks import TaskView, task_view
from helix_ray.guard import Guard, with_origin
from helix_ray.journal.errors import EraseRefused
from helix_ray.journal.recent import RecentFacts
from helix_ray.plain import plain_bytes
from helix_ray.ports import Batch, Clock, Journal, Snapshot, Vault

log = logging.getLogger(__name__)

# Bounds the memory of a replay, however long the journal is.
REPLAY_FACTS_PER_READ = 20_000
# Bytes of one batch of facts for a follower, as JSON; a single fact may be larger.
BATCH_BYTES_MAX = 8 << 20
# Facts read from the disk for one batch: about ten milliseconds' worth.
OLD_FACTS_MAX = 1000
# How many nodes a question about nodes examines in one step when none were examined before.
NEW_NODES_MAX = 2500
# How many views are published when the engine is idle. More changed tasks mean load, under which readers
# batch their calls anyway: publishing all would slow down writers, and most views are never read.
PUBLISHED_TASKS_MAX = 8
# A snapshot is due when the tail is this long and longer than the snapshot itself.
SNAPSHOT_TAIL_FACTS_MIN = 50_000


class SpaceCheck(Protocol):
    """Checks for disk space before orders are decided."""

    def __call__(self, *, vital: bool) -> Rejected | None:
        """Return the refusal of the order; None when there is space."""
        ...


class Board(Protocol):
    """Announces changes of tasks to caches (helix_ray/plane/read_board.py)."""

    def note(self, task_ids: Iterable[str], seq: int) -> None:
        """Record that tasks have changed in a commit that ends at `seq`."""
        ...

    def publish(self, view: TaskView, seq: int) -> None:
        """Publish the view of a task as of `seq` for readers."""
        ...

    def withdraw(self, task_ids: Iterable[str]) -> None:
        """Overwrite the views of tasks that were erased."""
        ...


class _SpaceInCommit:
    """Caches the space check: one answer in a commit for each kind of order."""

    def __init__(self, room: SpaceCheck) -> None:
        self._room = room
        self._answers: dict[bool, Rejected | None] = {}

    def __call__(self, *, vital: bool) -> Rejected | None:
        if vital not in self._answers:
            self._answers[vital] = self._room(vital=vital)
        return self._answers[vital]


class JournalFailed(Exception):
    """An append failed: the process must end, because memory is ahead of the disk."""


class Engine:
    """The state of a control plane, and the only writer of its journal."""

    def __init__(
        self,
        journal: Journal,
        policy: Policy,
        clock: Clock,
        room: SpaceCheck = lambda *, vital: None,
        vault: Vault | None = None,
    ) -> None:
        """`room` checks for disk space, once in each commit; `vault` seals secrets before they are kept, and
        authenticates attempts."""
        self._room = room
        self._guard = Guard(vault)
        self.board: Board | None = None
        self._unpublished: set[str] = set()
        self.journal = journal
        self.policy = policy
        self.clock = clock
        self.liveness = Liveness()
        self.refusals = Tally()
        self.sign_ins = SignIns(self._guard.key_of("names of sign-ins"))
        self.state = State()
        self._started_at = clock.wall()
        # A fleet for questions, which undo what they try on it. The scheduler has its own.
        self._tracked = TrackedFleet()
        self._recent = RecentFacts()
        self._snapshot_seq = 0
        # The facts of the last commit.
        self.committed: Sequence[Fact] = ()

    def recover(self) -> int:
        """Fold the newest usable snapshot and the journal's tail; return how many facts were folded."""
        self._load_snapshot()
        folded = 0
        while facts := self.journal.read_after(self.state.seq, REPLAY_FACTS_PER_READ):
            for fact in facts:
                evolve(self.state, fact)
            self._recent.add(facts)
            self.state.changed.clear()
            folded += len(facts)
        return folded

    def _load_snapshot(self) -> None:
        kept = self.journal.load_snapshot()
        if kept is not None and kept.fold_version == snapshot.FOLD_VERSION:
            self.state = snapshot.load(kept.body)
            self._snapshot_seq = kept.seq

    def execute(
        self, orders: Sequence[AnyOrder], facts_max: int | None = None
    ) -> list[AnyReceipt | Rejected]:
        """Carry out orders in one commit, as described above. Raises JournalFailed,
        which must end the process.

        With `facts_max` no further order is started once there are this many facts; the answers are those of
        the orders that were carried out, at least the first. decide limits the facts of a single order.
        """
        facts: list[Fact] = []
        now = self.clock.wall()
        room = _SpaceInCommit(self._room)
        answers: list[AnyReceipt | Rejected] = []
        for order in orders:
            answers.append(self._decide_and_fold(order, now, facts, room))
            # Checked after an order: the first one is always carried out, so a caller that resends
            # the rest makes progress.
            if facts_max is not None and len(facts) >= facts_max:
                break
        self._keep_refusals(now, facts, room)
        if facts:
            try:
                sizes = self.journal.append(facts)
            except Exception as error:
                # Memory is ahead of the disk now. Undoing the fold would need an inverse of every kind of
                # fact; ending the process needs none, and the next one folds what is durable.
                raise JournalFailed(f"append of {len(facts)} facts failed: {error}") from error
            # Before the answers: after a receipt no replica may serve the old view of the task.
            self._announce()
            self._recent.add(facts, sizes)
        self.committed = facts
        return answers

    def erase(self, erasure: Erasure, wanted: FactsErased, commit: Callable[[Fact], None]) -> None:
        """Erase the bodies of some facts, by the author of the erasure; `commit` makes the given fact durable
        and erases.

        Raises EraseRefused if they must not be erased, and JournalFailed, which must end the process, for all
        other failures.
        """
        fact = Fact(self.state.seq + 1, self.clock.wall(), erasure.by, erasure.request_id, wanted)
        try:
            commit(fact)
        except EraseRefused:
            raise
        except Exception as error:
            raise JournalFailed(f"erasing {len(wanted.seqs)} facts failed: {error}") from error
        # One fact, and nobody looks in between: it is folded when it is durable.
        evolve(self.state, fact)
        self._recent.forget(wanted.seqs)
        if self.board is not None:
            self.board.withdraw(wanted.tasks)
        self._recent.add([fact])

    def _announce(self) -> None:
        changed = self.state.changed
        if self.board is not None:
            self.board.note(changed, self.state.seq)
            if len(self._unpublished) <= PUBLISHED_TASKS_MAX:
                self._unpublished.update(changed[: PUBLISHED_TASKS_MAX + 1])
        changed.clear()

    def publish(self) -> None:
        """Publish the tasks that have changed since the last call, unless there are many; for
        when the engine is idle."""
        tasks, board = self.state.tasks, self.board
        if board is not None and len(self._unpublished) <= PUBLISHED_TASKS_MAX:
            for task_id in self._unpublished:
                if task_id in tasks:
                    board.publish(task_view(tasks[task_id]), self.state.seq)
        self._unpublished.clear()

    def take(self, journal: Journal) -> None:
        """Continue with another journal that begins with the same facts, and fold its further facts."""
        self.journal = journal
        while facts := journal.read_after(self.state.seq, REPLAY_FACTS_PER_READ):
            for fact in facts:
                evolve(self.state, fact)
            self._announce()
            self._recent.add(facts)

    def _decide_and_fold(
        self, order: AnyOrder, now: float, facts: list[Fact], room: _SpaceInCommit
    ) -> AnyReceipt | Rejected:
        try:
            admitted = admission.check(order, plain_bytes)
            if isinstance(admitted, Rejected):
                return admitted
            order = self._guard.authenticated(self._guard.sealed(admitted), self.state, now)
            order = with_origin(order)
            decided = self._guard.forged(order.by) or decide(self.state, order, now, self.policy)
        except Exception:
            # decide changes nothing, so an order that raises because of a bug does not affect others.
            log.exception("order failed", extra={"request_id": order.request_id})
            return Rejected(ErrorCode.INTERNAL_ERROR, "Internal error")
        if isinstance(decided, Receipt):
            return decided
        for refused in [decided] if isinstance(decided, Rejected) else decided.refused:
            self._note(refusal_of_order(order, refused), now)
        if isinstance(decided, Rejected):
            return decided
        # Space is checked only here: an order without facts needs none, and is answered
        # on a full disk as well.
        if decided.events and (refusal := room(vital=order.body.vital)) is not None:
            # The worker was heard of all the same: on a full disk no worker counts as lost.
            self._note_signs([sign for sign in decided.signs if isinstance(sign, Heard)], now)
            return refusal
        author = order.by.id if decided.author is None else decided.author
        for event in decided.events:
            fact = Fact(self.state.seq + 1, now, author, order.request_id, event, order.origin)
            evolve(self.state, fact)
            facts.append(fact)
            if isinstance(event, SessionOpened):
                self.sign_ins.succeeded(event.user_id, order.origin.address)
        self._note_signs(decided.signs, now)
        for noted in decided.noted:
            self.refusals.note(noted, now)
            self.sign_ins.note(noted, now, self.state.sign_in_addresses)
        return Receipt(self.state.seq, decided.data)

    def _note(self, refusal: Refusal | None, now: float) -> None:
        if refusal is not None:
            self.refusals.note(refusal, now)

    def _keep_refusals(self, now: float, facts: list[Fact], room: _SpaceInCommit) -> None:
        """Make facts of the refusals that are due, unless they would use the reserved disk space."""
        if not self.refusals.due(now) or room(vital=False) is not None:
            return
        for row in self.refusals.take(now):
            fact = Fact(self.state.seq + 1, now, row.author, row.request_id, row.event, row.origin)
            evolve(self.state, fact)
            facts.append(fact)

    def _note_signs(self, signs: Sequence[Sign], now: float) -> None:
        for sign in signs:
            self.liveness.note(sign, self.clock.monotonic(), now)

    def query(self, question: QuestionKind[View], by: Principal) -> View | Rejected:
        """Answer a question from the current state, with the caller's current roles."""
        reply = self._answered(question, by)
        if isinstance(reply, Rejected):
            self._note(refusal_of_question(type(question).__name__, by, reply), self.clock.wall())
        elif isinstance(question, Identify) and question.session_id is not None:
            self.liveness.use(question.session_id, self.state.sessions, self.clock.wall())
        return reply

    def _answered(self, question: QuestionKind[View], by: Principal) -> View | Rejected:
        admitted = self._admitted(question, by)
        if isinstance(admitted, Rejected):
            return admitted
        return self._guard.opened(question, answer(self.picture(), question, admitted))

    def steps(self, question: QuestionKind[View], by: Principal) -> Generator[None, None, View | Rejected]:
        """Like query, but in steps; the state may change between two steps."""
        admitted = self._admitted(question, by)
        if isinstance(admitted, Rejected):
            return self.query(question, by)
        return (yield from steps(self.picture(), question, admitted))

    def _admitted(self, question: QuestionKind[View], by: Principal) -> Principal | Rejected:
        return self._guard.forged(by) or admit(self.state, by, type(question), self.clock.wall())

    def look_on(self) -> bool:
        """Examine some nodes in advance for questions; say whether there are more."""
        self._tracked.refreshed(self.state, self.liveness, self.clock.wall(), NEW_NODES_MAX)
        return not self._tracked.whole

    def picture(self) -> Picture:
        """Return the picture from which questions are answered."""
        now = self.clock.wall()
        return Picture(
            self.state,
            self.liveness,
            policy=self.policy,
            now=now,
            epoch=self.journal.epoch,
            started_at=self._started_at,
            tracked=self._tracked,
            mac=self._guard.mac,
            sign_ins=self.sign_ins,
        )

    def events(self, after: int, limit: int, by: Principal, abouts: bool = False) -> Batch | Rejected:
        """Return those of up to `limit` facts after a cursor that `by` may see; the cursor also moves past
        the others. `abouts`: say of each what it is about."""
        present = self._guard.forged(by) or as_of(self.state, by, self.clock.wall())
        if isinstance(present, Rejected):
            return present
        batch = self.facts(after, limit)
        shown = shown_to(present, batch.facts, self.state)
        found = tuple(about(self.state, fact.event) for fact in shown) if abouts else ()
        return replace(batch, facts=shown, abouts=found)

    def facts(self, after: int, limit: int) -> Batch:
        """Return facts after a cursor: from memory when they are recent, else from the journal."""
        head = self.state.seq
        if after >= head:
            return Batch((), after, head)
        oldest = self._recent.oldest
        if oldest is not None and after + 1 >= oldest:
            facts = self._recent.after(after, limit, BATCH_BYTES_MAX)
        else:
            facts = tuple(self.journal.read_after(after, min(limit, OLD_FACTS_MAX), BATCH_BYTES_MAX))
        return Batch(facts, facts[-1].seq if facts else after, head)

    def snapshot_due(self) -> bool:
        """Say whether folding the tail would cost more than a snapshot does."""
        tail = self.state.seq - self._snapshot_seq
        return tail >= max(SNAPSHOT_TAIL_FACTS_MIN, 2 * len(self.state.tasks))

    def save_snapshot(self) -> None:
        """Save a snapshot of the state, so that the next start folds a short tail."""
        body = snapshot.parts(self.state)
        self.journal.save_snapshot(Snapshot(self.state.seq, snapshot.FOLD_VERSION, body))
        self.snapshot_kept(self.state.seq)

    def end(self) -> None:
        """Record aggregated refusals, if there is space; the last step before the journal is closed."""
        self.refusals.end()
        while self.refusals.due(self.clock.wall()) and self._room(vital=False) is None:
            self.execute([])

    def snapshot_kept(self, seq: int) -> None:
        """Record that the journal has a snapshot as of a fact."""
        self._snapshot_seq = seq
