"""The journal's facts as a range of cursors, as a question is answered with it."""

from __future__ import annotations

from typing import TypedDict


class EventRangeView(TypedDict):
    """Which cursors can be read from: after `earliest` are all facts, after `latest` those to come."""

    earliest: int
    latest: int
