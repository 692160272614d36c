"""A short journal of acts of each type, from one place."""

from __future__ import annotations

from helix_ray.core import events as ev
from helix_ray.core.origin import Origin
from tests.unit.core.stage import spec

FROM = Origin("192.0.2.7", "session-1", "curl/8")


def journal() -> list[ev.Fact]:
    events = [
        ("system", "req-0", ev.UserCreated("user-ada", "ada", "hash", ["admin"])),
        ("anonymous", "req-1", ev.LoginRefused("ada")),
        ("system", "req-2", ev.SessionOpened("session-1", "user-ada", "hash", 1e9)),
        *(("user-ada", "req-3", ev.TaskSubmitted(f"task-{i}", "user-ada", spec())) for i in range(3)),
        ("user-ada", "req-4", ev.QuotaSet("p", {"cpu": 2.0})),
        ("user-bob", "req-5", ev.RequestsRefused("ListUsers", "forbidden", "ListUsers")),
    ]
    # The tasks were submitted at one moment.
    times = [101.0, 102.0, 103.0, 104.0, 104.0, 104.0, 107.0, 108.0]
    told = zip(times, events, strict=True)
    return [ev.Fact(seq, at, *who, event, FROM) for seq, (at, (*who, event)) in enumerate(told, 1)]
