"""Which refusals are kept, and how a flood of them stays a few facts: by counting, with time as a number."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from helix_ray.core.access import SYSTEM, Principal
from helix_ray.core.ended import refusal
from helix_ray.core.errors import ErrorCode, Rejected, conflict, forbidden, invalid, not_found
from helix_ray.core.events import RequestsRefused
from helix_ray.core.orders import OrderBody, Refusal, RetryTask, SubmitTasks, UpdateTask
from helix_ray.core.origin import Origin
from helix_ray.core.questions import GetTask, Question
from helix_ray.core.refusals import (
    ROWS_PER_COMMIT_MAX,
    SOURCES_BURST_MAX,
    SOURCES_MAX,
    SOURCES_PER_MINUTE,
    SUBJECTS_MAX,
    WINDOW_S,
    Row,
    Tally,
    kind_of,
    refusal_of_question,
)

LOGIN = Refusal(
    "login", "credentials", "root", author="anonymous", request_id="req-1", origin=Origin("192.0.2.1")
)


def at(address: str, **fields: Any) -> Refusal:
    """Return a failed login from an address."""
    return replace(LOGIN, origin=Origin(address), **fields)


def counts(rows: list[Row]) -> list[tuple[str, int]]:
    """Return address and count of each fact."""
    return [(row.origin.address, row.event.count) for row in rows]


@pytest.mark.parametrize(
    ("verb", "rejected", "kind"),
    [
        (SubmitTasks, forbidden("no"), "forbidden"),
        (GetTask, refusal("revoked", 0.0), "token"),
        (GetTask, refusal("unknown", None), "token"),
        (GetTask, Rejected(ErrorCode.UNAUTHORIZED, "no", {"reason": "invalid"}), "token"),
        (GetTask, refusal("expired", 0.0), None),
        (GetTask, Rejected(ErrorCode.UNAUTHORIZED, "no", {"reason": "missing"}), None),
        (UpdateTask, conflict("over", attempt=1, current_attempt=None), "late_report"),
        (UpdateTask, conflict("Task is completed"), None),
        (RetryTask, conflict("over", current_attempt=None), None),
        (GetTask, not_found("Task", "task-1"), None),
        (SubmitTasks, invalid("odd"), None),
        (SubmitTasks, Rejected(ErrorCode.RATE_LIMIT_EXCEEDED, "full"), None),
    ],
)
def test_the_policy(verb: type[OrderBody | Question], rejected: Rejected, kind: str | None) -> None:
    """What happens to everybody all the time is left out."""
    assert kind_of(rejected, getattr(verb, "conflict_kept_as", None)) == kind


def test_the_systems_own_questions_are_no_requests() -> None:
    """A replica that asks for a session which does not exist gets an answer, not a refusal: it knows who
    asked."""
    assert refusal_of_question("Identify", SYSTEM, refusal("unknown", None)) is None
    noted = refusal_of_question("GetTask", Principal("user-1", session="session-1"), refusal("unknown", None))
    assert noted is not None
    assert (noted.author, noted.subject, noted.origin.credential) == ("user-1", "GetTask", "session-1")


def test_the_first_is_a_fact_at_once_and_the_rest_a_count() -> None:
    """Also what the others were about, up to a limit; the counts add up."""
    tally = Tally()
    tally.note(LOGIN, 0.0)
    (first,) = tally.take(0.0)
    assert first.event == RequestsRefused("root", "login", "credentials", 1, None, [])
    for number in range(20):
        tally.note(replace(LOGIN, subject=f"name-{number}"), 1.0)
    tally.note(LOGIN, 2.0)
    assert not tally.due(WINDOW_S - 0.1)
    assert tally.due(WINDOW_S)
    (rest,) = tally.take(WINDOW_S)
    names = [f"name-{number}" for number in range(SUBJECTS_MAX)]
    assert rest.event == RequestsRefused("root", "login", "credentials", 21, 0.0, names)
    assert (rest.author, rest.origin) == (first.author, first.origin)
    assert not tally.take(10 * WINDOW_S)


def test_one_that_stays_alone_is_one_fact() -> None:
    """There is nothing to count, and nothing left to watch."""
    tally = Tally()
    tally.note(LOGIN, 0.0)
    assert len(tally.take(0.0)) == 1
    assert tally.take(WINDOW_S) == []
    assert len(tally) == 0


def test_sources_are_told_apart() -> None:
    """By kind, author and address."""
    tally = Tally()
    others: list[Refusal] = [
        LOGIN,
        at("192.0.2.2"),
        replace(LOGIN, kind="token"),
        replace(LOGIN, author="user-1"),
    ]
    for noted in others * 2:
        tally.note(noted, 0.0)
    assert len(tally.take(0.0)) == len(others)
    assert [row.event.count for row in tally.take(WINDOW_S)] == [1] * len(others)


def test_new_sources_draw_on_a_budget_of_their_kind() -> None:
    """What comes beyond it counts for the source "others"; another kind is not hidden by it."""
    tally = Tally()
    for number in range(SOURCES_BURST_MAX + 500):
        tally.note(at(f"a-{number}"), 0.0)
    rows = tally.take(0.0)
    assert len(rows) == SOURCES_BURST_MAX + 1
    assert rows[-1].event == RequestsRefused("others", "login", "others", 1)
    assert (rows[-1].origin, rows[-1].author) == (Origin(), "anonymous")
    tally.note(replace(LOGIN, kind="late_report"), 1.0)
    assert len(tally.take(1.0)) == 1
    assert counts(tally.take(WINDOW_S)) == [("", 499)]


def test_the_budget_comes_back_slowly() -> None:
    """So a flood that goes on for days cannot fill the disk."""
    tally = Tally()
    for number in range(SOURCES_BURST_MAX):
        tally.note(at(f"a-{number}"), 0.0)
    tally.take(0.0)
    for minute in range(1, 6):
        for number in range(100):
            tally.note(at(f"b-{minute}-{number}"), minute * 60.0)
        addresses = [row.origin.address for row in tally.take(minute * 60.0)]
        assert sum(bool(address) for address in addresses) == SOURCES_PER_MINUTE


def test_the_end_of_a_flood_comes_in_slices() -> None:
    """No commit has more counts than are bounded, and the youngest wait longest."""
    tally = Tally()
    for number in range(3 * ROWS_PER_COMMIT_MAX):
        tally.note(at(f"a-{number}", count=2), 0.0)
        tally.note(at(f"a-{number}"), 0.0)
    assert {row.event.count for row in tally.take(0.0)} == {2}
    sizes = []
    while tally.due(WINDOW_S):
        sizes.append(len(tally.take(WINDOW_S)))
    assert sizes == [ROWS_PER_COMMIT_MAX] * 3


def test_what_cannot_be_recorded_for_days_does_not_fill_the_memory() -> None:
    """While the disk is full nobody takes anything, and new sources become "others"."""
    tally = Tally()
    for day in range(8):
        for number in range(SOURCES_BURST_MAX):
            tally.note(at(f"{day}-{number}"), day * 86_400.0)
    assert len(tally) <= SOURCES_MAX + 1
    assert len(tally.take(8 * 86_400.0)) <= SOURCES_MAX + 1


def test_a_subject_is_cut_and_cleaned() -> None:
    """It comes from outside, and the note of it must not be refused for it."""
    noted = replace(LOGIN, subject="a\ud800\x1b" + "b" * 1000)
    assert noted.subject.startswith("a??bbb")
    assert len(noted.subject) == 128
