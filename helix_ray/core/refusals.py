"""Refusals for the audit: which are recorded, and how a flood of them becomes a few facts.

    kind          what was refused                                         recorded by
    login         a wrong name or password                                 the login routes
    token         an invalid or ended token or session                     the edge; the engine
    forbidden     an action that no role of the caller allows              routes; the engine
    late_report   a worker's report on an ended attempt                    the engine

A node worker's late reports in one order are one refusal with their number; its author is the worker.

Everyday refusals are not recorded: no token, and an expired one. Malformed requests and those over a rate
limit are not recorded either: metrics count them.

The first refusal of a source (kind, author, client address) is a fact in the commit that refuses it. Those
that follow within WINDOW_S are counted, and the count becomes one more fact when that time is over. So a
crash loses counts, but never a source. The facts' counts add up to the number of refusals.

A flood from many sources must not fill the disk either. New sources of a kind draw on a budget:
SOURCES_BURST_MAX at once, and SOURCES_PER_MINUTE from then on. When it is used up, further refusals count for
the source OTHERS. Each kind has its own budget, so that failed logins cannot hide late reports.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from helix_ray.core.access import ANONYMOUS_ID, SYSTEM, Principal
from helix_ray.core.errors import ErrorCode, Rejected
from helix_ray.core.events import RequestsRefused
from helix_ray.core.networks import network_of
from helix_ray.core.orders import AnyOrder, Refusal
from helix_ray.core.orders.kind import RefusalKind
from helix_ray.core.origin import NOWHERE, Origin

WINDOW_S = 60.0
SOURCES_BURST_MAX = 12_000
SOURCES_PER_MINUTE = 30
# The maximum of count facts in one commit, so that the end of a flood does not block others.
ROWS_PER_COMMIT_MAX = 200
# The maximum of watched sources, of all kinds: refusals that cannot be recorded must not fill the memory.
SOURCES_MAX = 4 * SOURCES_BURST_MAX
SUBJECTS_MAX = 5
OTHERS: Final = "others"

# Everyday reasons of UNAUTHORIZED.
USUAL = frozenset({"missing", "expired"})
# A detail that only refusals of late reports have (core/decide/late.py).
LATE: Final = "current_attempt"


def kind_of(rejected: Rejected, conflict: RefusalKind | None = None) -> RefusalKind | None:
    """Return the audit kind of a refusal; None for one that is not recorded.

    `conflict` is the audit kind that the order declares for CONFLICT.
    """
    reason = rejected.details.get("reason")
    if rejected.code is ErrorCode.FORBIDDEN:
        return "forbidden"
    if rejected.code is ErrorCode.UNAUTHORIZED:
        return None if reason in USUAL else "token"
    if rejected.code is ErrorCode.CONFLICT:
        return conflict if LATE in rejected.details else None
    return None


def refusal_of(
    verb: str,
    rejected: Rejected,
    *,
    author: str,
    request_id: str,
    origin: Origin,
    subject: str = "",
    conflict: RefusalKind | None = None,
) -> Refusal | None:
    """Return the record of a refusal; None for one that is not recorded. `subject` defaults to the verb."""
    kind = kind_of(rejected, conflict)
    if kind is None:
        return None
    reason = rejected.details.get("reason")
    return Refusal(
        kind,
        reason if isinstance(reason, str) else verb,
        subject or verb,
        author=author,
        request_id=request_id,
        origin=origin,
    )


def refusal_of_order(order: AnyOrder, rejected: Rejected) -> Refusal | None:
    """Return the record of an order's refusal; None for one that is not recorded."""
    subject = getattr(order.body, "task_id", "")
    # Orders of replicas for users who are not signed in.
    author = ANONYMOUS_ID if order.by.id == SYSTEM.id else order.by.id
    return refusal_of(
        type(order.body).__name__, rejected, author=author, request_id=order.request_id,
        origin=order.origin, subject=subject, conflict=order.body.conflict_kept_as,
    )  # fmt: skip


def refusal_of_question(verb: str, by: Principal, rejected: Rejected) -> Refusal | None:
    """Return the record of a question's refusal; None for one that is not recorded.

    Questions have no envelope: of their origin only the session or token is known here. The system's own
    questions are about others: for it, "no such session" is an answer.
    """
    if "system" in by.roles:
        return None
    origin = Origin(credential=by.credential)
    return refusal_of(verb, rejected, author=by.id, request_id="", origin=origin)


class Row(NamedTuple):
    """A fact to append: its event and its header."""

    event: RequestsRefused
    author: str
    request_id: str
    origin: Origin


@dataclass(slots=True)
class _Source:
    """The refusals of one source since its first one, which is recorded already."""

    first: Refusal
    since: float
    count: int = 0
    subjects: tuple[str, ...] = ()

    def add(self, refusal: Refusal) -> None:
        self.count += refusal.count
        known = (self.first.subject, *self.subjects)
        if len(self.subjects) < SUBJECTS_MAX and refusal.subject not in known:
            self.subjects = (*self.subjects, refusal.subject)

    def row(self) -> Row:
        return _row(self.first, self.count, self.since, self.subjects)


class _Budget:
    """The budget of new sources of a kind."""

    __slots__ = ("_left", "_seen_at")

    def __init__(self, now: float) -> None:
        self._left = float(SOURCES_BURST_MAX)
        self._seen_at = now

    def draw(self, now: float) -> bool:
        """Use one unit, if there is one left."""
        gained = max(0.0, now - self._seen_at) * SOURCES_PER_MINUTE / 60.0
        self._seen_at = now
        self._left = min(float(SOURCES_BURST_MAX), self._left + gained)
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True


class Tally:
    """Counts refusals, and decides which become facts. In memory only; `now` is in epoch seconds."""

    def __init__(self) -> None:
        # The oldest first; those whose time is over are at the front.
        self._sources: OrderedDict[tuple[str, ...], _Source] = OrderedDict()
        self._budgets: dict[str, _Budget] = {}
        self._firsts: list[Row] = []
        self._window_s = WINDOW_S

    def note(self, refusal: Refusal, now: float) -> None:
        """Count a refusal; the first of its source becomes due at once."""
        key: tuple[str, ...] = (refusal.kind, refusal.author, network_of(refusal.origin.address))
        source = self._sources.get(key)
        if source is None:
            budget = self._budgets.setdefault(refusal.kind, _Budget(now))
            if len(self._sources) < SOURCES_MAX and budget.draw(now):
                self._begin(key, refusal, now)
                return
            refusal = _of_others(refusal)
            key = (refusal.kind, OTHERS)
            source = self._sources.get(key)
            if source is None:
                self._begin(key, refusal, now)
                return
        source.add(refusal)

    def _begin(self, key: tuple[str, ...], refusal: Refusal, now: float) -> None:
        self._sources[key] = _Source(refusal, now)
        self._firsts.append(_row(refusal, refusal.count, None, ()))

    def end(self) -> None:
        """Make every count due at once: the process is shutting down."""
        self._window_s = 0.0

    def due(self, now: float) -> bool:
        """Say whether facts are due."""
        if self._firsts:
            return True
        oldest = next(iter(self._sources.values()), None)
        return oldest is not None and oldest.since <= now - self._window_s

    def take(self, now: float) -> list[Row]:
        """Return the facts that are due: all first refusals of a source, and some of the
        counts whose time is over."""
        rows, self._firsts = self._firsts, []
        end = now - self._window_s
        while self._sources and len(rows) < ROWS_PER_COMMIT_MAX:
            key, source = next(iter(self._sources.items()))
            if source.since > end:
                break
            del self._sources[key]
            if source.count:
                rows.append(source.row())
        return rows

    def __len__(self) -> int:
        return len(self._sources)


def _of_others(refusal: Refusal) -> Refusal:
    return replace(refusal, author=ANONYMOUS_ID, subject=OTHERS, reason=OTHERS, request_id="", origin=NOWHERE)


def _row(first: Refusal, count: int, since: float | None, subjects: tuple[str, ...]) -> Row:
    event = RequestsRefused(first.subject, first.kind, first.reason, count, since, list(subjects))
    return Row(event, first.author, first.request_id, first.origin)
