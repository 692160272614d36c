"""How the system is, over HTTP: hosts of nodes, added up and one by one, and what is not known."""

from __future__ import annotations

from typing import Any

import pytest

from helix_ray.wire.monitoring import SystemOut
from helix_ray.wire.times import iso
from tests.http.api_server import PASSWORD, error_of
from tests.http.devices import host_sample
from tests.http.fleet import Fleet
from tests.http.running_node import Helix
from tests.http.shapes import shaped

PATH = "/aurora/monitoring/system"


def ask(fleet: Fleet, node: str | None = None, **query: str) -> dict[str, Any]:
    """Return the figures, which have the documented form."""
    answer = fleet.admin.get(PATH, params={"node": node, **query} if node else query)
    assert answer.status_code == 200, answer.text
    content: dict[str, Any] = answer.json()
    shaped(SystemOut, content)
    return content


def test_what_was_not_measured_is_null(fleet: Fleet) -> None:
    """Without nodes, before the first heartbeat, and without a sensor, nothing is invented."""
    told = ask(fleet)
    assert (told["count"], told["known"], told["cpu"]["usage"], told["memory"]["total"]) == (0, 0, None, None)
    node = fleet.node("a")
    told = ask(fleet)
    assert (told["count"], told["known"], told["hosts"][0]["measured_at"]) == (1, 0, None)
    fleet.beat(node, host={"cores": 2.0, "disks": []})
    told = ask(fleet)
    assert (told["known"], told["cpu"]["cores"], told["cpu"]["usage"]) == (1, 2.0, None)
    assert told["cpu"]["temperature"] is None
    assert told["network"] == {
        "rx_bytes": None, "tx_bytes": None, "rx_bytes_per_s": None, "tx_bytes_per_s": None, "interfaces": [],
    }  # fmt: skip


def test_hosts_are_added_up(fleet: Fleet) -> None:
    """The usage of all processors is weighted by their number; the warmest host gives the temperature."""
    fleet.beat(fleet.node("a"), host=host_sample())
    fleet.beat(fleet.node("b"), host=host_sample(cores=24.0, cpu_percent=100.0, temperature=71.0))
    told = ask(fleet)
    assert (told["cpu"]["cores"], told["cpu"]["temperature"]) == (32.0, 71.0)
    assert told["cpu"]["usage"] == round((8 * 35.5 + 24 * 100) / 32, 1)
    assert (told["memory"]["total"], told["memory"]["percentage"]) == (32768, 50.0)
    assert (told["disk"]["total"], told["network"]["rx_bytes"]) == (1_024_000, 2_048_000_000)
    assert [host["hostname"] for host in told["hosts"]] == ["a", "b"]
    of_one = ask(fleet, "worker-b")
    assert (of_one["node"], of_one["cpu"]["cores"], of_one["count"]) == ("worker-b", 24.0, 1)
    error_of(fleet.admin.get(PATH, params={"node": "worker-none"}), 404, "NOT_FOUND")
    error_of(fleet.admin.get(PATH, params={"nod": "a"}), 400, "VALIDATION_ERROR")


def test_our_processes_are_added_up_by_role(fleet: Fleet) -> None:
    """Over the nodes of a host, and over hosts; CPU is null before it is known."""
    worker = {"role": "node_worker", "count": 1, "memory_mb": 50.0}
    fleet.beat(fleet.node("a"), host=host_sample(), processes=[{**worker, "cpu_percent": 1.5}])
    executors = {"role": "executor", "count": 2, "memory_mb": 99.5}
    fleet.beat(fleet.node("b"), host=host_sample(), processes=[worker, executors])
    told = ask(fleet)
    assert told["hosts"][0]["processes"] == [
        {"role": "node_worker", "count": 1, "cpu": 1.5, "memory": 50.0},
    ]
    assert told["processes"] == [
        {"role": "executor", "count": 2, "cpu": None, "memory": 99.5},
        {"role": "node_worker", "count": 2, "cpu": 1.5, "memory": 100.0},
    ]


def test_a_container_has_the_machine_beside_it(fleet: Fleet) -> None:
    inside = host_sample(
        cores=2.0, cpu_source="cpu.stat of the control group", machine_cores=8, machine_cpu_percent=80.0,
        machine_memory_total_mb=65536, machine_memory_available_mb=1024,
    )  # fmt: skip
    fleet.beat(fleet.node("a"), host=inside)
    [host] = ask(fleet)["hosts"]
    assert (host["cpu"]["cores"], host["cpu"]["source"]) == (2.0, "cpu.stat of the control group")
    assert host["machine"] == {"cores": 8, "usage": 80.0, "memory_total": 65536, "memory_available": 1024}


def test_an_external_worker_is_no_host(fleet: Fleet) -> None:
    """What an external worker sends beside its figures is not taken for a host."""
    body = {"hostname": "laptop", "capabilities": ["testing"]}
    worker_id = fleet.admin.post("/workers/register", json=body).json()["worker_id"]
    beat = {"worker_id": worker_id, "status": "idle", "resources": {"host": {"cores": 1e9}}}
    refused = fleet.admin.post("/workers/heartbeat", json=beat)
    assert error_of(refused, 400, "VALIDATION_ERROR")["details"]
    assert ask(fleet)["count"] == 0


def test_history_is_told_with_its_gaps(fleet: Fleet) -> None:
    """From `since` on, in points of `step` seconds; what was not measured is null."""
    node = fleet.node("a")
    for second in range(5):
        if second != 2:
            fleet.beat(node, host=host_sample(cpu_percent=10.0 * second))
        fleet.clock.advance(1)
    since = iso(fleet.clock.wall() - 5)
    fleet.clock.advance(2)
    told = ask(fleet, node, since=since)["history"]
    assert (told["since"], told["step"]) == (since, 1)
    [host] = told["hosts"]
    assert host["hostname"] == "a"
    assert host["cpu"] == [0.0, 10.0, None, 30.0, 40.0]
    assert host["memory_used"] == [8192, 8192, None, 8192, 8192]
    assert host["load"] == [None] * 5
    until = iso(fleet.clock.wall() - 3)
    assert ask(fleet, node, since=since, until=until, step="2")["history"]["hosts"][0]["cpu"] == [5.0, 30.0]
    assert ask(fleet, node)["history"] is None


def test_a_history_that_cannot_be_told_names_the_parameter(fleet: Fleet) -> None:
    for query, field in {
        "since=yesterday": "since",
        "since=2100-01-01T00:00:00Z": "since",
        "since=2025-01-01T00:00:00Z&step=60": "step",
        "since=2025-01-01T00:00:00Z&step=0": "step",
    }.items():
        fleet.beat(fleet.node("a"), host=host_sample())
        content = error_of(fleet.admin.get(f"{PATH}?{query}"), 400, "VALIDATION_ERROR")
        assert field in str(content["details"])
    error_of(fleet.admin.get(PATH, params={"step": "10"}), 400, "VALIDATION_ERROR")
    unknown = {"node": "worker-none", "since": iso(fleet.clock.wall() - 60)}
    error_of(fleet.admin.get(PATH, params=unknown), 404, "NOT_FOUND")


def test_the_program_shows_the_history(fleet: Fleet, helix: Helix, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line for each point; a gap is empty."""
    monkeypatch.setenv("HELIX_PASSWORD", PASSWORD)
    assert helix("login", "--url", fleet.api.url, "--username", "admin").code == 0
    node = fleet.node("a")
    began = fleet.clock.wall()
    fleet.beat(node, host=host_sample(cpu_percent=12.5))
    fleet.clock.advance(5)
    ran = helix("system", "--since", iso(began), "--until", iso(began + 2), "--step", "1s")
    assert ran.code == 0, ran.err
    head, first, second = ran.out.splitlines()
    assert head.split()[:4] == ["TIME", "HOST", "CPU", "HIGHEST"]
    assert "12.5 %" in first
    assert "%" not in second
    told = helix("system", "--since", iso(began), "--json").json
    assert told["history"]["hosts"][0]["cpu"] == [12.5, None, None]
    assert helix("system", "--since", "sometime").code == 2
