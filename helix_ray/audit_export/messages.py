"""What is forwarded of the audit: its records, gaps in them, and checkpoints; each as syslog and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

from helix_ray.checkpoints import Checkpoint

if TYPE_CHECKING:
    from helix_ray.wire.audit import AuditLogOut

# Of RFC 5424, 6.2.1.
WARNING, NOTICE, INFORMATIONAL = 4, 5, 6
GAP: Final = "gap"
CHECKPOINT: Final = "checkpoint"
_SIGNATURES: Final = "\n\n"


class ForwardedMessage(NamedTuple):
    """One message. `params` are the structured data of syslog, without unknown ones; `data` is the JSON."""

    name: str
    at: str
    severity: int
    params: Mapping[str, str]
    text: str
    data: Mapping[str, object]


def of_record(log: AuditLogOut) -> ForwardedMessage:
    """Return a record of the audit as a message."""
    about = log["metadata"]
    params = {
        "seq": log["seq"], "type": log["event_type"], "user": log["user_id"], "action": log["action"],
        "outcome": log["result"], "address": log["ip_address"], "request": about["request_id"],
        "credential": about["credential"], "resource": about["resource"], "resourceId": about["resource_id"],
        "count": about["count"], "agent": about["user_agent"],
    }  # fmt: skip
    thing = about["resource_id"] or ", ".join(about["ids"])
    text = f"{log['user_id']} {log['action']} {about['resource']} {thing}".rstrip() + f": {log['result']}"
    more = {name: about[name] for name in ("details", "before", "after") if about[name]}
    if more:
        text += " " + json.dumps(more, ensure_ascii=False, separators=(",", ":"))
    severity = INFORMATIONAL if log["result"] == "success" else WARNING
    known = {name: str(value) for name, value in params.items() if value is not None}
    return ForwardedMessage(log["event_type"], log["timestamp"], severity, known, text, {"record": log})


def of_gap(first: int, last: int, at: str) -> ForwardedMessage:
    """Return the message that records of facts from `first` to `last` are not there any more."""
    text = f"records of facts {first} to {last} were removed by retention before they were forwarded"
    gap = {"from": first, "to": last}
    params = {"gapFrom": str(first), "gapTo": str(last)}
    return ForwardedMessage(GAP, at, WARNING, params, text, {"gap": gap})


def of_checkpoint(note: str, at: str) -> ForwardedMessage:
    """Return a signed checkpoint as a message; its parts are those of the note, line by line."""
    text, _, signatures = note.partition(_SIGNATURES)
    found = Checkpoint.of(text)
    origin, size, root, *_ = text.splitlines()
    params = {"origin": origin, "size": size, "root": root, "signature": signatures.strip()}
    said = f"checkpoint of {found.size} facts of {origin}"
    return ForwardedMessage(CHECKPOINT, at, INFORMATIONAL, params, said, {"checkpoint": note})
