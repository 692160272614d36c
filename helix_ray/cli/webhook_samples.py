"""Sample data of every event, in the words of the real ones: `helix webhook trigger` sends them.

The data is made by the tellings of the facts themselves (core/tellings.py), from the values below.
"""

from __future__ import annotations

from typing import Any, Final

from helix_ray.core.about import About, Audience
from helix_ray.core.errors import Rejected, invalid
from helix_ray.core.notices import EVENTS
from helix_ray.core.tellings import TELLINGS, NoticeData

# The id of what an event is about, by the event's family.
_SUBJECTS: Final = {
    "task": "task-456", "worker": "worker-7", "node": "node-worker-1", "project": "website",
    "model": "digits", "security": "user-1", "device": "device-1", "webhook": "webhook-123",
}  # fmt: skip
_STATUSES: Final = {
    "task.created": "pending", "task.retried": "pending", "task.updated": "pending",
    "task.released": "pending",
    "task.started": "running", "task.progress": "running", "task.failed": "failed",
    "task.cancelled": "cancelled",
}  # fmt: skip
_ERROR: Final = {"type": "ValueError", "message": "invalid input"}
# Fields of facts, by their names.
_VALUES: Final[dict[str, Any]] = {
    "actor": "user-1", "address": "203.0.113.7", "attempt": 1, "capabilities": ["gpu"], "cause": "failed",
    "changes": {"priority": "high"}, "count": 3, "draining": True, "duration_s": 1.5, "error": _ERROR,
    "examination": "task-457", "figure": "memory", "for_s": 60.0, "level": "warning", "limit": 90.0,
    "value": 91.5, "expires_at": 1_793_527_200.0, "file": {"digest": "sha256:" + "0" * 64},
    "filter": {"events": ["task.*"]}, "hostname": "host-1", "labels": {"zone": "a"},
    "limits": {"cpu": 8}, "members": ["user-1"], "model": "digits", "name": "sample", "node_class": "cpu-8",
    "node_id": "node-1", "not_before": 0.0, "note": "halfway", "owner": "user-1", "pending": "replay",
    "percent": 10, "progress": 0.5, "project": "website", "projects": ["website"], "reason": "a sample",
    "resources": {"cpu": 8.0, "gpu": 1.0},
    "result": {"success": True, "output": "Task completed successfully"},
    "roles": ["developer"], "session_id": "session-1", "shown": "hx_abc", "spec": {"priority": "normal"},
    "state": "ready", "token_id": "token-1", "until": 1_793_527_200.0, "url": "https://example.com/hook",
    "user_id": "user-1", "username": "alice", "version": 1, "weight": 1.0,
    "worker": "worker-7",
}  # fmt: skip


class _SampleFact:
    """A fact and its event at once, of which every field has a sample value."""

    def __init__(self, family: str) -> None:
        self.id = _SUBJECTS.get(family, family)
        self.kind = "login" if family == "security" else "external"
        self.event = self.origin = self

    def __getattr__(self, name: str) -> Any:
        return _VALUES.get(name, f"sample {name}")


def sample_of(event: str) -> NoticeData | Rejected:
    """Return sample data of an event; refuse a name that is none."""
    telling = next((each for each in TELLINGS.values() if event in each.names), None)
    if telling is None:
        return invalid(f"Unknown event {event[:80]!r}; the events are {', '.join(EVENTS)}", field="event")
    family = event.partition(".")[0]
    is_task = family == "task"
    fact: Any = _SampleFact(family)
    about = About(
        Audience("nobody", (), None),
        "website" if is_task else None,
        "function" if is_task else None,
        {},
        _STATUSES.get(event, "completed") if is_task else None,
        "A sample",
    )
    return telling.data(fact, fact, about)
