"""The figures of security over HTTP: the same numbers as the audit's, and what is in force."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from helix_ray.cli.tables import CUT_MARK
from helix_ray.config import Settings
from helix_ray.core.orders import NoteComparison, NoteJournalCheck, RegisterWorker
from helix_ray.core.posture import REMEDY
from helix_ray.plane.control import Plane
from helix_ray.testing import ManualClock, MemoryControlPlane, memory_plane
from helix_ray.views.history import History
from helix_ray.wire.security import SecurityOut
from tests.http.actors_here import Links, Ways
from tests.http.api_server import PASSWORD, Api, error_of, serving_api
from tests.http.running_node import Helix
from tests.http.shapes import shaped

PATH = "/aurora/metrics/security"


class Served:
    """An API whose history follows at once."""

    def __init__(self, api: Api, plane: MemoryControlPlane, history: History, ways: Ways) -> None:
        self.api, self.plane, self.history, self.ways = api, plane, history, ways

    def follow(self) -> None:
        """Take all facts into the history."""
        while facts := self.plane.engine.facts(self.history.cursor, 1000).facts:
            self.history.ingest(facts)

    def ask(self, client: httpx.Client) -> SecurityOut:
        """Return the figures, which have the documented form."""
        self.follow()
        answer = client.get(PATH)
        assert answer.status_code == 200, answer.text
        content: SecurityOut = answer.json()
        shaped(SecurityOut, content)
        return content

    def audited(self, client: httpx.Client, result: str) -> int:
        """Count the sign-ins that the audit lists; each listing is a fact, too."""
        self.follow()
        asked = {"action": "login", "event_type": "authentication", "result": result, "limit": 1000}
        logs = client.get("/aurora/audit", params=asked).json()["logs"]
        return sum(log["metadata"]["count"] for log in logs)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    settings = Settings(data_dir=tmp_path, login_limit_per_minute=1000)
    plane = memory_plane(settings, PASSWORD, ManualClock())
    history, ways = History(tmp_path / "history.duckdb"), Ways()
    with serving_api(settings, plane=plane, control=Plane(Links(ways, plane, history))) as api:
        yield Served(api, plane, history, ways)
    history.close()


def failed_logins(client: httpx.Client, count: int) -> None:
    for number in range(count):
        body = {"username": f"nobody{number % 2}", "password": "wrong password"}
        assert client.post("/auth/login", json=body).status_code == 401


def test_the_numbers_are_those_of_the_audit(served: Served) -> None:
    """Successful, failed and open: each as the audit and the listing of sessions have it."""
    admin, ann = served.api.client(), served.api.add("ann", "auditor")
    failed_logins(admin, 5)
    served.plane.engine.end()  # what was counted of a flood becomes facts
    told, seq = served.ask(ann), served.plane.engine.state.seq
    attempts = told["auth_attempts"]
    assert attempts["failed"] == served.audited(admin, "failure") == 5
    assert attempts["successful"] == served.audited(admin, "success") == 2
    assert attempts["rate"] == round(5 / 7, 6)
    assert told["active_sessions"] == 2
    assert told["last_record_at"] is not None
    assert told["through"] == seq
    assert ann.post("/auth/logout").status_code == 204
    assert served.ask(admin)["active_sessions"] == 1


def test_without_attempts_there_is_no_rate(served: Served) -> None:
    """Before the first check `last_audit` is null, and the reasons say why."""
    told = served.ask(served.api.client())
    assert told["auth_attempts"] == {"successful": 1, "failed": 0, "rate": 0.0}
    assert (told["last_audit"], told["last_audit_facts"]) == (None, None)
    reasons = {each["check"]: each for each in told["reasons"]}
    assert reasons["journal"]["standing"] == "unknown"
    assert (told["encryption_status"], told["security_level"]) == ("partial", "standard")


def test_nodes_say_how_they_isolate_commands(served: Served) -> None:
    def levels(node: str, label: str) -> str:
        node_order = RegisterWorker(
            node, (), {"cpu": 1.0}, worker_id=f"worker-{node}", kind="node", node_id=node, boot="boot",
            labels={"helix-isolation": label},
        )  # fmt: skip
        served.plane.give(node_order)
        told = served.ask(admin)
        return next(each["standing"] for each in told["reasons"] if each["check"] == "isolation")

    admin = served.api.client()
    assert levels("a", "namespaces") == "pass"
    assert levels("b", "none") == "fail"
    assert served.ask(admin)["security_level"] == "basic"


def test_only_administrators_and_auditors_are_told(served: Served) -> None:
    """The reasons say where the system is weak: operators run its nodes, and are not told."""
    for role in ("operator", "developer", "viewer", "worker"):
        error_of(served.api.add(role, role).get(PATH), 403, "FORBIDDEN")


def test_an_audit_that_differs_from_the_journal_is_said_wherever_it_is_read(served: Served) -> None:
    """Until a comparison finds that it agrees again: with each search, in the posture, and as a record."""
    admin, what = served.api.client(), "from fact 4 on, a record is missing"

    def shown() -> tuple[object, str]:
        told = served.ask(admin)
        reason = next(each for each in told["reasons"] if each["check"] == "audit")
        warning = admin.get("/aurora/audit").json()["warning"]
        return warning, reason["standing"]

    assert shown() == (None, "unknown")
    served.plane.give(NoteComparison(9, 4, what))
    served.plane.give(NoteComparison(9, 4, what))
    assert shown() == (f"{what}; {REMEDY}", "fail")
    served.plane.give(NoteComparison(12))
    assert shown() == (None, "unknown")
    served.follow()
    logs = admin.get("/aurora/audit", params={"action": "compare_audit"}).json()["logs"]
    assert [(log["result"], log["metadata"]["details"].get("difference")) for log in logs] == [
        ("success", ""), ("failure", what),
    ]  # fmt: skip


def test_damage_of_the_journal_is_said_until_a_check_finds_none(served: Served) -> None:
    """Whatever a file says: in the posture, and as a record of each change."""
    admin, what = served.api.client(), "fact 4 was changed"

    def shown() -> list[tuple[str, str]]:
        told = served.ask(admin)
        return [(each["standing"], each["reason"]) for each in told["reasons"] if each["check"] == "journal"]

    [intact] = shown()
    served.plane.give(NoteJournalCheck(9, what))
    served.plane.give(NoteJournalCheck(9, what))
    assert shown() == [("fail", f"the check of the journal failed: {what}")]
    served.plane.give(NoteJournalCheck(12))
    assert shown() == [intact]
    served.follow()
    logs = admin.get("/aurora/audit", params={"action": "check_journal"}).json()["logs"]
    assert [(log["result"], log["metadata"]["details"]) for log in logs] == [
        ("success", {"facts": 12, "damage": ""}), ("failure", {"facts": 9, "damage": what}),
    ]  # fmt: skip


def test_a_history_that_is_away_is_no_zero(served: Served) -> None:
    """Whoever counts does not answer: 503, and no figure is invented."""
    admin = served.api.client()
    served.ways.historian = "dead"
    error_of(admin.get(PATH), 503, "SERVICE_UNAVAILABLE")


@pytest.mark.parametrize("columns", ["40", "80"])
def test_the_table_fits(served: Served, helix: Helix, monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    served.follow()
    monkeypatch.setenv("HELIX_PASSWORD", PASSWORD)
    monkeypatch.setenv("COLUMNS", columns)
    assert helix("login", "--url", served.api.url, "--username", "admin").code == 0
    served.follow()
    shown = helix("security")
    assert (shown.code, shown.err) == (0, "")
    assert "1 successful, 0 failed" in shown.out
    assert "api_encryption" in shown.out
    assert CUT_MARK not in shown.out
    if columns == "80":
        assert max(map(len, shown.out.splitlines())) <= 80
