"""The journal's facts as a range of cursors, as a question is answered with it."""

from __future__ import annotations

from typing import TypedDict

from helix_ray.core.errors import ErrorCode, Rejected


class EventRangeView(TypedDict):
    """Which cursors can be read from: after `earliest` are all facts, after `latest` those to come."""

    earliest: int
    latest: int


def start_of(after: int | None, found: EventRangeView) -> int | Rejected:
    """Return the cursor to begin with, by default the newest; refuse one that the journal cannot continue
    from."""
    if after is None:
        return found["latest"]
    if found["earliest"] <= after <= found["latest"]:
        return after
    where = f"from {found['earliest']} to {found['latest']}"
    message = f"The journal cannot continue from {after}, only {where}: start from `earliest`, or `latest`"
    return Rejected(ErrorCode.GONE, message, {"after": after, **found})
