"""The audit is read, exported and forwarded through the API."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from actors import archive
from tests.http.api_server import PASSWORD, error_of
from tests.http.past_world import World, serving_world
from tests.http.running_node import Helix
from tests.receivers import authority
from tests.syslog_receiver import receiving_syslog


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Serve it for the whole file."""
    with serving_world(tmp_path_factory.mktemp("history")) as served:
        yield served


def test_the_audit_is_read_through_the_api(world: World) -> None:
    """Administrators see what was done, in the documented form; others do not; a wrong type is refused."""
    world.archive()
    admin = world.clients["admin"]
    answer = admin.get("/aurora/audit", params={"event_type": "authentication", "action": "login"})
    assert answer.status_code == 200, answer.text
    log = answer.json()["logs"][0]
    assert log["id"] == f"audit-{log['seq']}"
    assert (log["event_type"], log["action"], log["result"]) == ("authentication", "login", "success")
    assert log["user_id"].startswith("user-")
    assert log["metadata"]["resource"] == "session"
    assert PASSWORD not in answer.text
    world.archive()
    read, *_ = admin.get("/aurora/audit", params={"action": "read_audit"}).json()["logs"]
    assert (read["event_type"], read["user_id"]) == ("data_access", admin.get("/auth/me").json()["id"])
    assert read["metadata"]["details"]["asked"] == "event_type=authentication action=login"
    assert world.clients["ann"].get("/aurora/audit").status_code == 403
    refused = admin.get("/aurora/audit", params={"event_type": "gossip"})
    assert refused.status_code == 400
    assert "data_access" in refused.text


def test_a_user_is_found_by_name_and_an_address_in_any_spelling(world: World) -> None:
    """As somebody types them: the records are those of the id and of the address."""
    world.archive()
    admin = world.clients["admin"]
    user_id = admin.get("/auth/me").json()["id"]
    for named in ({"user": "Admin"}, {"user": user_id}, {"user": "admin", "address": "::ffff:127.0.0.1"}):
        world.archive()
        answer = admin.get("/aurora/audit", params={**named, "action": "login"})
        assert answer.status_code == 200, answer.text
        logs = answer.json()["logs"]
        assert {(log["user_id"], log["ip_address"]) for log in logs} == {(user_id, "127.0.0.1")}
    worker = world.api.add("worker-7", "worker").get("/auth/me").json()["id"]
    world.archive()
    logs = admin.get("/aurora/audit", params={"user": "worker-7"}).json()["logs"]
    assert {log["user_id"] for log in logs} == {worker}
    world.archive()
    assert admin.get("/aurora/audit", params={"user": "job:1"}).json()["logs"] == []
    refused = admin.get("/aurora/audit", params={"action": "logn"})
    message = "Invalid audit action: unknown action (similar: login)"
    assert error_of(refused, 400, "VALIDATION_ERROR")["message"] == message


@pytest.mark.parametrize(
    "query",
    [
        "q=%FF",
        "user=%ED%A0%80",
        "action=login&action=logout",
        "end_time=2025-11-07T00:00:00Z&start_time=2025-11-07T00:00:01Z",
        "start_time=2025-11-07T00:00:00%2B99:99",
        "start_time=0001-01-01T00:00:00%2B14:00",
        "cursor=9223372036854775807",
        "cursor=-1",
        "cursor=1&after=1",
        "q=a%00b",
        "action=logn",
        "address=192.0.2.0/24",
        "user=nobody-here",
    ],
)
def test_what_would_find_something_else_is_refused(world: World, query: str) -> None:
    """A search that finds nothing is taken for an answer: so it must be the one that was meant."""
    answer = world.clients["admin"].get(f"/aurora/audit?{query}")
    assert answer.status_code == 400, answer.text


def test_the_audit_is_exported(
    world: World, helix: Helix, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The program writes the records of a time in the form that was asked for; another form is refused."""
    world.archive()
    monkeypatch.setenv("HELIX_URL", world.api.url)
    monkeypatch.setenv("HELIX_TOKEN", world.clients["admin"].headers["Authorization"].split()[1])
    words = ("audit", "export", "--out", str(tmp_path / "out"), "--since", "2020-01-01T00:00:00Z")
    ran = helix(*words, "--format", "csv")
    assert ran.code == 0, ran.err
    lines = (tmp_path / "out").read_text().splitlines()
    assert ran.out.endswith(f"has {len(lines) - 1} records\n")
    assert any("login" in line for line in lines)
    assert helix(*words, "--format", "xml").code == 2


def test_the_audit_is_forwarded(
    world: World, helix: Helix, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The program sends what there is over TLS, and later what came since; its own reads are recorded while
    there is something else to read, so it comes to an end. In clear it goes to this machine only."""
    monkeypatch.setattr(archive, "FOLLOWED_S_MAX", 0.01)
    world.archive()
    auditor = world.api.add("forwarding", "auditor")
    monkeypatch.setenv("HELIX_URL", world.api.url)
    monkeypatch.setenv("HELIX_TOKEN", auditor.headers["Authorization"].split()[1])
    made = authority(tmp_path, "127.0.0.1")
    (tmp_path / "ca.pem").write_text(made.ca)
    with receiving_syslog(made.context()) as receiver:
        to = f"syslog+tls://127.0.0.1:{receiver.port}"
        words = ("audit", "forward", to, "--state", str(tmp_path / "state"), "--once", "--ca")
        refused = helix(*words[:-1])
        assert (refused.code, "not trusted" in refused.err) == (1, True)
        sent: list[int] = []
        for _ in range(4):
            world.archive()
            ran = helix(*words, str(tmp_path / "ca.pem"))
            assert (ran.code, ran.err) == (0, "")
            sent.append(sum(int(line.split()[0]) for line in ran.out.splitlines()))
            receiver.wait(sum(sent) + 1)
        assert sent[0] > 10
        # The records of the program's own read and of what it has, and then nothing.
        assert sent[1:] == [2, 0, 0]
        assert [line.name for line in receiver.lines].count("checkpoint") == 1
    assert receiver.seqs() == sorted({*receiver.seqs()})
    assert receiver.lines[0].host == "127.0.0.1"
    assert "another machine" in helix("audit", "forward", "syslog+tcp://192.0.2.1:601", *words[3:-1]).err
    assert "signed" in helix("audit", "forward", "https://192.0.2.1/", *words[3:-1]).err


def test_what_is_kept_elsewhere_is_recorded(
    world: World, helix: Helix, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By auditors, with the program and over HTTP; not what does not exist yet, and by nobody else."""
    auditor = world.api.add("keeping", "auditor")
    monkeypatch.setenv("HELIX_URL", world.api.url)
    monkeypatch.setenv("HELIX_TOKEN", auditor.headers["Authorization"].split()[1])
    assert helix("audit", "acknowledge", "--name", "vault", "--through", "3").out.endswith("in vault\n")
    world.archive()
    record, *_ = auditor.get("/aurora/audit", params={"action": "export_audit"}).json()["logs"]
    details = record["metadata"]["details"]
    assert (record["metadata"]["resource_id"], details["exported_through"]) == ("vault", 3)
    assert details["checkpoint_size"] > 3
    body = {"name": "vault", "through": 10**9}
    assert auditor.post("/aurora/audit/exports", json=body).status_code == 400
    assert auditor.post("/aurora/audit/exports", json={"name": "vault"}).status_code == 400
    for size in (3, 10**9):
        checkpoint = {"size": size, "root": "A" * 43 + "="}
        refused = auditor.post("/aurora/audit/exports", json={**body, "through": 3, "checkpoint": checkpoint})
        assert (refused.status_code, refused.json()["error"]["details"]["field"]) == (400, "checkpoint")
    assert world.clients["ann"].post("/aurora/audit/exports", json=body).status_code == 403
