"""For whom the code in a process acts, as an executor, its functions, and the programs that these start see
it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from helix_ray.core.access import SYSTEM
from helix_ray.core.errors import Refused
from helix_ray.execution import acting
from helix_ray.execution.assignment import Assignment
from helix_ray.execution.environment import Place, command_environment
from helix_ray.execution.tenant import Tenant, tenant_of, whom

EXECUTOR = """
import subprocess, sys
from helix_ray.core.errors import Refused
from helix_ray.execution import acting
from helix_ray.execution.assignment import Assignment

CHILD = "from helix_ray.execution import acting; print(acting.caller()())"

def child():
    return subprocess.run([sys.executable, "-c", CHILD], capture_output=True, text=True).stdout.strip()

acting.serve()
who = acting.caller()  # kept by a warm process, as a connection is
for owner in ("user-with-a-long-name", "user-b"):
    given = Assignment("task-1", 2, {}, None, "/logs", owner=owner, project="red", mac="k:1")
    acting.begin(given)
    assert child() == str(who()), child()
    print(who().id, who().projects, who().roles, who().credential)
acting.end()
try:
    who()
except Refused as refused:
    print(refused.rejected.details["reason"])
"""


def given(mac: str = "k:1", **fields: object) -> Assignment:
    return Assignment("task-1", 2, {"kind": "function"}, None, "/logs", mac=mac, **fields)  # type: ignore[arg-type]


def test_a_warm_process_acts_for_the_attempt_that_runs() -> None:
    """A connection that was kept, and a program that a function starts; between attempts for nobody."""
    said = subprocess.run([sys.executable, "-c", EXECUTOR], capture_output=True, text=True, check=False)
    assert said.stdout.splitlines() == [
        "user-with-a-long-name ('red',) () task-1#2", "user-b ('red',) () task-1#2", "attempt_ended"
    ], said.stderr  # fmt: skip


def test_a_program_outside_any_attempt_acts_as_its_job() -> None:
    """There is nothing to inherit; an attempt without a capability gets none."""
    assert acting.caller() is None
    assert acting.of(given(mac="")) is None


def test_a_program_whose_executor_has_ended_acts_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused, and does not become a Ray job."""
    monkeypatch.setenv(acting.FILE_VARIABLE, "/proc/0/fd/9")
    with pytest.raises(Refused):
        acting.caller()


def test_a_task_of_a_job_acts_as_the_job() -> None:
    """With the rights of the system."""
    found = acting.of(given(owner="job:7"))
    assert found is not None
    assert (found.id, found.roles) == ("job:7", SYSTEM.roles)


def test_a_command_gets_a_capability_where_it_can_use_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """That is without isolation: elsewhere it cannot reach the control plane."""
    assignment = given(owner="user-a")
    contained = command_environment({}, assignment, {}, Place("/f", own_home=True, own_tmp=True), {})
    assert acting.VARIABLE not in contained
    free = command_environment({}, assignment, {}, Place("/f", own_home=False, own_tmp=False), {})
    monkeypatch.setenv(acting.VARIABLE, free[acting.VARIABLE])
    caller = acting.caller()
    assert caller is not None
    assert caller() == acting.of(assignment)


def test_a_command_finds_the_trace_of_its_task() -> None:
    """Unless the task itself gives it another one."""
    place = Place("/f", own_home=True, own_tmp=True)
    assignment = replace(given(), traceparent="a")
    assert command_environment({}, assignment, {}, place, {"TRACEPARENT": "b"})["TRACEPARENT"] == "a"
    assert command_environment({"TRACEPARENT": "c"}, assignment, {}, place, {})["TRACEPARENT"] == "c"
    assert "TRACEPARENT" not in command_environment({}, given(), {}, place, {"TRACEPARENT": "b"})


def test_members_of_a_project_share_no_process() -> None:
    """Code in it acts for its owner: what one member left there would act for the other."""
    tenants = [tenant_of(given(), whom(owner, "red")) for owner in ("user-a", "user-b")]
    assert tenants[0] is not None
    assert not tenants[0].serves(tenants[1])
    assert not tenants[0].serves(Tenant(whom("user-a", None)))
