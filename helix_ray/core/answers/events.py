"""Answers the question that opens a stream of notices."""

from __future__ import annotations

from helix_ray.core import questions as q
from helix_ray.core.access import Principal
from helix_ray.core.answers.picture import Answerers, Picture
from helix_ray.core.views.events import EventRangeView


def _range(picture: Picture, question: q.ReadEvents, by: Principal) -> EventRangeView:
    """Facts are kept for ever, in the journal or its segments."""
    return {"earliest": 0, "latest": picture.state.seq}


EVENT_ANSWERS: Answerers = {
    q.ReadEvents: _range,
}
