"""The audit is found by each of its filters, in stable pages, and forgets what was erased."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from helix_ray.core import events as ev
from helix_ray.core.origin import Origin
from helix_ray.core.questions import ListAudit
from helix_ray.views import audit_search
from helix_ray.views.generated import can_be_part, is_generated
from helix_ray.views.history import History
from helix_ray.views.pruning import HistoryLimits
from helix_ray.wire.ids import new_seed
from tests.unit.core.stage import spec
from tests.unit.views.acts import FROM, journal


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    made = History(tmp_path / "history.duckdb")
    made.ingest(journal())
    yield made
    made.close()


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[History]:
    """The same for tests that only ask: to open a file of DuckDB takes a tenth of a second."""
    made = History(tmp_path_factory.mktemp("asked") / "history.duckdb")
    made.ingest(journal())
    yield made
    made.close()


def seqs(history: History, question: ListAudit) -> list[int]:
    return [row["seq"] for row in history.audit(question)["rows"] or ()]


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        (ListAudit(), [8, 7, 4, 3, 2, 1]),
        (ListAudit(event_type="authentication"), [3, 2]),
        (ListAudit(user="user-ada"), [7, 4, 3]),
        (ListAudit(action="login", result="failure"), [2]),
        (ListAudit(result="denied"), [8]),
        (ListAudit(address="192.0.2.8"), []),
        (ListAudit(resource="task-2"), [4]),
        (ListAudit(resource="task"), [4]),
        (ListAudit(text="CURL/8", limit=2), [8, 7]),
        (ListAudit(text="cpu"), [7]),
        (ListAudit(text=FROM.credential.upper()), [8, 7, 4, 3, 2, 1]),
        (ListAudit(text="SSION-1"), [8, 7, 4, 3, 2, 1]),
        (ListAudit(text="#1"), []),
        (ListAudit(start=102.0, end=104.0), [3, 2]),
        (ListAudit(before=4), [3, 2, 1]),
        (ListAudit(after=3, limit=2), [4, 7]),
        (ListAudit(after=5), [4, 7, 8]),
    ],
)
def test_each_filter_finds_its_records(asked: History, question: ListAudit, expected: list[int]) -> None:
    """Times are half-open, and text is found in any case of letters."""
    assert seqs(asked, question) == expected


ID = f"task-{new_seed()}"
OTHER_ID = f"task-{new_seed()}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (ID, [9]),
        (ID.upper(), [9]),
        (f"K-{ID[5:]}"[:-3], [9]),
        (OTHER_ID[:-1], [9]),
        (ID[5:], [10, 9]),
        (f"{ID[8:]}-1", [10]),
        (f"req-{ID[5:]}", [10]),
        ("Order-7/A", [10]),
        ("order-7/a of ada", [10]),
        ("Straße", [10]),
        ("STRASSE", []),
        ("task-", [9, 4]),
    ],
)
def test_ids_are_found_by_any_part(history: History, text: str, expected: list[int]) -> None:
    """Generated ones, which are searched only for what can be a part of one, and those that callers chose."""
    history.ingest(
        [
            ev.Fact(9, 200.0, "user-eve", "r", ev.DataRead("results", 2, [ID, OTHER_ID]), FROM),
            ev.Fact(
                10,
                201.0,
                "user-eve",
                f"req-{ID[5:]}-17",
                ev.DataRead("results", 1, ["Order-7/A of Ada", "Straße"]),
                FROM,
            ),
        ]
    )
    assert seqs(history, ListAudit(text=text)) == expected


def test_a_thing_is_found_by_its_whole_id(history: History) -> None:
    """A generated one and one that callers chose, with a quote and a comma too; not as a part of another id,
    nor as the id of a request."""
    chosen = 'a "b", c'
    events = (
        ev.DataRead("results", 3, [ID, OTHER_ID, chosen]),
        ev.QuotaSet(chosen, {}),
        ev.RequestsRefused(ID, "forbidden", "x"),
    )
    history.ingest([
        ev.Fact(seq, 200.0, "user-eve", request, event, FROM)
        for seq, request, event in zip((9, 10, 11), (OTHER_ID, "chosen-request", "r"), events, strict=True)
    ])  # fmt: skip
    for thing, expected in {
        ID: [11, 9], OTHER_ID: [9], chosen: [10, 9], ID[:-1]: [], "chosen-request": [], "b": [],
        "project": [10, 7],
    }.items():  # fmt: skip
        assert seqs(history, ListAudit(resource=thing)) == expected, thing
    assert seqs(history, ListAudit(text='A "B"')) == [10, 9]
    [row] = history.audit(ListAudit(before=10, limit=1))["rows"] or ()
    assert (row["request_id"], row["resource_id"], row["ids"]) == (OTHER_ID, "", [ID, OTHER_ID, chosen])


def test_generated_ids_are_recognised() -> None:
    """Whatever seed it has; and no text that can be a part of one is taken for none."""
    for _ in range(200):
        made = f"req-{new_seed()}-10"
        assert is_generated(made)
        assert is_generated(made[:24])
        assert all(can_be_part(made[first:last]) for first in range(27) for last in range(first + 1, 28))
    others = ("Order-7", f"req-{new_seed()}x", f"REQ-{new_seed()}", f"other-{new_seed()}", "7")
    assert not any(map(is_generated, others))
    assert not any(map(can_be_part, ("person77", "curl/8", "a b", "10.5.3", "task-1-x", '"', "project-1")))


@pytest.mark.parametrize(
    "text", ["' OR 1=1 --", "x') OR (1=1", "%", "_", "?", "$1", '"; DROP TABLE audit; --']
)
@pytest.mark.parametrize("name", ["event_type", "user", "action", "result", "address", "resource", "text"])
def test_filters_are_texts(asked: History, name: str, text: str) -> None:
    """Whatever SQL or pattern they look like, they find what says them: here, one underscore in a name."""
    found = asked.audit(ListAudit(**{name: text}))  # type: ignore[arg-type]
    if (name, text) == ("text", "_"):
        assert found["total"] > 0
    else:
        assert (found["rows"], found["total"]) == ([], 0)
    assert asked.audit(ListAudit())["total"] == 6


def test_pages_are_stable(history: History) -> None:
    """The pages of a search are all of it, also while more is written."""
    first = history.audit(ListAudit(limit=3))
    assert (first["total"], first["next"]) == (6, 4)
    history.ingest([ev.Fact(9, 200.0, "user-ada", "req-6", ev.ProjectRemoved("p"), FROM)])
    assert seqs(history, ListAudit(limit=3, before=first["next"])) == [3, 2, 1]
    assert history.audit(ListAudit(limit=3, before=first["next"]))["next"] is None


@pytest.mark.parametrize("question", [ListAudit(), ListAudit(text="req"), ListAudit(after=0)])
def test_a_page_is_as_of_its_question(history: History, question: ListAudit) -> None:
    """Records of later facts are not counted or shown, whoever has counted them before; and the next page
    goes on there."""
    before = history.audit(question, 4)
    assert [row["seq"] for row in before["rows"] or ()] == sorted(
        {1, 2, 3, 4}, reverse=question.after is None
    )
    assert (before["total"], before["through"], before["next"]) == (
        4, 4, None if question.after is None else 6
    )  # fmt: skip
    assert history.audit(question)["total"] == 6
    assert history.audit(question, 4)["rows"] == before["rows"]
    assert history.audit(question)["total"] == 6


@pytest.mark.parametrize("filters", [{}, {"user": "user-ada"}, {"text": "curl"}, {"resource": "project"}])
def test_pages_of_a_long_audit_leave_nothing_out(
    history: History, monkeypatch: pytest.MonkeyPatch, filters: dict[str, str]
) -> None:
    """Whether their records lie close together or far apart, in both directions."""
    monkeypatch.setattr(audit_search, "NEAR_FACTS", 8)
    monkeypatch.setattr(audit_search, "CLOSE_FACTS_MAX", 16)
    rare = {9 + n for n in (0, 9, 10, 80, 200)}
    history.ingest([
        ev.Fact(
            seq, 200.0 + seq, "user-ada" if seq in rare else "user-eve", f"r-{seq}",
            ev.ProjectRemoved("p") if seq in rare else ev.DataRead("logs", 1, ["task-1"]),
            FROM if seq in rare else Origin("192.0.2.9", "session-2", "other"),
        )
        for seq in range(9, 210)
    ])  # fmt: skip
    expected = [
        seq for (seq,) in history._con.execute(
            f"SELECT seq FROM audit WHERE {CONDITIONS[tuple(filters)]} ORDER BY seq"
        ).fetchall()
    ]  # fmt: skip
    up: list[int] = []
    asked = ListAudit(**filters, limit=2 if filters else 5, after=0)  # type: ignore[arg-type]
    while len(up) < len(expected):
        page = history.audit(asked)
        up += [row["seq"] for row in page["rows"] or ()]
        asked = replace(asked, after=page["next"])
    assert up == expected
    down: list[int] = []
    asked = replace(asked, after=None, before=expected[-1] + 1)
    while True:
        page = history.audit(asked)
        down += [row["seq"] for row in page["rows"] or ()]
        if page["next"] is None:
            break
        asked = replace(asked, before=page["next"])
    assert down == expected[::-1]


CONDITIONS = {
    (): "true",
    ("user",): "user_id = 'user-ada'",
    ("text",): "contains(user_agent, 'curl')",
    ("resource",): "resource = 'project'",
}


def test_who_follows_goes_on_behind_what_they_were_given(history: History) -> None:
    """`next` is the last fact of the last record, and behind what matches nothing; records that retention
    has removed are said."""
    first = history.audit(ListAudit(after=0, limit=4))
    assert (first["next"], first["total"], first["removed_through"]) == (6, 6, 0)
    assert history.audit(ListAudit(after=6))["next"] == 8
    assert history.audit(ListAudit(after=8))["next"] == 8
    assert history.audit(ListAudit(after=0, user="user-none"))["next"] == 8
    history.prune(HistoryLimits(1e12, 1 << 30, audit_keep_s=50.0), 155.0, 0)
    assert history.audit(ListAudit(after=2))["removed_through"] == 6
    history.prune(HistoryLimits(1e12, 1 << 30, audit_keep_s=50.0), 155.0, 0)
    assert history.audit(ListAudit(after=2))["removed_through"] == 6


class Removing:
    """A connection beside which records are removed, each time after the first statement about them."""

    def __init__(self, history: History, times: list[float]) -> None:
        self._con = history._file.cursor()
        self._history = history
        self._times = times

    def execute(self, statement: str, values: list[object] | None = None) -> Fetched:
        found = self._con.execute(statement, values or []).fetchall()
        if "count" in statement and self._times:
            self._history.prune(HistoryLimits(1e12, 1 << 30, audit_keep_s=50.0), self._times.pop(), 0)
        return Fetched(found)


class Fetched(list[tuple[object, ...]]):
    """What a statement has found."""

    def fetchall(self) -> list[tuple[object, ...]]:
        return self


@pytest.mark.parametrize("times", [[153.5], [155.0, 153.5]])
@pytest.mark.parametrize("filters", [{}, {"address": FROM.address}])
def test_a_page_is_of_one_state(history: History, times: list[float], filters: dict[str, str]) -> None:
    """Where records are removed while it is read, it is read again: the total, the records and what is said
    to be removed fit together."""
    through = [3, 6][len(times) - 1]
    con: Any = Removing(history, [*times])
    page = history._search.page(con, ListAudit(**filters), history.through)  # type: ignore[arg-type]
    left = [seq for seq in (8, 7, 4, 3, 2, 1) if seq > through]
    assert ([row["seq"] for row in page["rows"] or ()], page["total"]) == (left, len(left))
    assert page["removed_through"] == through


def test_sign_ins_are_counted(history: History) -> None:
    """A record of several refused sign-ins counts as many, and is found by each account; other refusals are
    none."""
    counted = ev.RequestsRefused("ada", "login", "login", 41, 100.0, ["bob"])
    history.ingest([ev.Fact(9, 200.0, "anonymous", "req-6", counted, FROM)])
    assert history.sign_ins() == {"successful": 1, "failed": 42, "last_record_at": 200.0}
    page = history.audit(ListAudit(resource="bob"))
    assert [(row["resource_id"], row["ids"]) for row in page["rows"] or ()] == [("ada", ["ada", "bob"])]
    history.ingest([ev.Fact(10, 201.0, "user-bob", "req-7", ev.RequestsRefused("x", "token", "ended"), FROM)])
    assert history.sign_ins() == {"successful": 1, "failed": 42, "last_record_at": 201.0}


def test_what_was_erased_is_forgotten(history: History) -> None:
    """An erasure of one task of many blanks their record; who acted and when stays."""
    history.ingest([ev.Fact(9, 200.0, "system", "req-6", ev.FactsErased([5], "asked"))])
    row = next(row for row in history.audit(ListAudit())["rows"] or () if row["seq"] == 4)
    assert (row["erased"], row["ids"], row["resource_id"], row["details"]) == (True, [], "", {})
    assert (row["user_id"], row["count"], row["at"], row["request_id"]) == ("user-ada", 3, 104.0, "req-3")
    assert seqs(history, ListAudit(resource="task-1")) == []


def test_records_have_a_time_to_live_of_their_own(history: History) -> None:
    """The limit for tasks does not touch the audit."""
    history.prune(HistoryLimits(0.0, 1 << 30), 1e9, 0)
    assert len(seqs(history, ListAudit())) == 6
    history.prune(HistoryLimits(1e12, 1 << 30, audit_keep_s=50.0, audit_through=3), 155.0, 0)
    assert seqs(history, ListAudit()) == [8, 7, 4]
    limits = HistoryLimits(1e12, 1 << 30, audit_keep_s=50.0)
    history.prune(replace(limits, audit_now=100.0), 155.0, 0)
    assert (seqs(history, ListAudit()), history.has_old_records(limits, 155.0)) == ([8, 7, 4], True)
    history.prune(limits, 155.0, 0)
    assert (seqs(history, ListAudit()), history.has_old_records(limits, 155.0)) == ([8, 7], False)


def test_a_record_says_what_was_there_before_and_after(history: History) -> None:
    """Also in another batch and after a restart of the history; a removed thing has no after. What was erased
    is not there either."""

    def ingest(first: int, *events: ev.Event) -> None:
        history.ingest([ev.Fact(n, 200.0, "user-ada", "req-7", e, FROM) for n, e in enumerate(events, first)])

    def shown(resource: str) -> list[object]:
        rows = history.audit(ListAudit(resource=resource, start=150.0))["rows"] or ()
        return [(row["before"], row["after"]) for row in rows]

    ingest(9, ev.QuotaSet("p", {"cpu": 4.0}), ev.QuotaSet("p", {}, 2.0))
    ingest(11, ev.RolesChanged("user-ada", ["viewer"]), ev.UserRemoved("user-ada"))
    two, four = {"limits": {"cpu": 2.0}, "weight": 1.0}, {"limits": {"cpu": 4.0}, "weight": 1.0}
    assert shown("p") == [(four, {"limits": {}, "weight": 2.0}), (two, four)]
    was = {"username": "ada", "roles": ["viewer"], "password": "***"}
    assert shown("user-ada") == [(was, None), ({"roles": ["admin"]}, {"roles": ["viewer"]})]
    assert len(history.audit(ListAudit(text="viewer"))["rows"] or ()) == 2
    ingest(13, ev.ProjectSet("q", "", ["user-bob", "user-cid", "user-dan"]), ev.UserRemoved("user-bob"))
    ingest(15, ev.MemberAdded("q", "user-eva"), ev.Erased("user-cid", "UserRemoved"), ev.ProjectRemoved("q"))
    left = ["user-dan", "user-eva"]
    assert [before for before, _ in shown("q")][:2] == [  # type: ignore[misc]
        {"name": "", "members": left}, {"members": ["user-cid", "user-dan"]}
    ]  # fmt: skip
    ingest(18, ev.FactsErased([1, 11, 12], "asked for"))
    assert {
        (row["before"], row["after"]) for row in history.audit(ListAudit())["rows"] or () if row["erased"]
    } == {(None, None)}
    assert history.audit(ListAudit(text="viewer"))["rows"] == []


@pytest.mark.parametrize("question", [ListAudit(), ListAudit(user="user-ada"), ListAudit(text="task-")])
def test_what_was_counted_is_kept_only_while_it_is_true(history: History, question: ListAudit) -> None:
    """A search that is repeated counts what was written since, and all after records were removed or blanked;
    it says the same as a history that is asked for the first time."""

    def total() -> int:
        kept, seqs_of_it = history.audit(question), seqs(history, question)
        assert kept["through"] == history.through
        assert kept["total"] == len(seqs_of_it)
        return kept["total"]

    assert total() == total()
    event = ev.TaskSubmitted("task-9", "user-ada", spec())
    before = total()
    history.ingest([ev.Fact(9, 200.0, "user-ada", "req-9", event, FROM)])
    assert total() == before + 1
    history.ingest([ev.Fact(10, 201.0, "system", "req-10", ev.FactsErased([9], "asked"))])
    shown = total()
    assert shown == (before if question.text else before + (2 if question.user is None else 1))
    history.prune(HistoryLimits(1e12, 1 << 30, audit_keep_s=50.0), 250.5, 0)
    assert total() == (1 if question == ListAudit() else 0)
