"""The stream of events: what happens, as it happens, to whoever may see it."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from helix_ray.core.errors import Refused, Rejected, invalid
from helix_ray.wire.events import EVENT_STREAM, FRAME_SCHEMA, EventsQuery, filter_of_query
from serve_app.deps import Caller, SignedIn
from serve_app.event_stream import EventStream
from serve_app.openapi import verb

LAST_EVENT_ID = "Last-Event-ID"

router = APIRouter(tags=["events"])

_EVERYTHING = EventsQuery()
_SEQ = re.compile(r"[0-9]{1,16}")
_DESCRIBED = verb("ReadEvents")
_DESCRIBED["response_class"] = EventStream
_DESCRIBED["responses"] = {200: {"content": {EVENT_STREAM: {"schema": FRAME_SCHEMA}}}, 410: {}}
_DESCRIBED["openapi_extra"]["parameters"] = [
    {
        "name": LAST_EVENT_ID,
        "in": "header",
        "required": False,
        "description": "The id of the last frame that was read, which goes before `after`.",
        "schema": {"type": "string", "pattern": "^[0-9]{0,16}$"},
    }
]


@router.get("/events", **_DESCRIBED)
async def read_events(caller: SignedIn, query: Annotated[EventsQuery, Query()] = _EVERYTHING) -> Response:
    """Stream what happens as Server-Sent Events: each once, in order, and only what the caller may see.

    A frame has the seq as its id, and one notice as JSON in its data. `event: bookmark` moves the cursor of
    a reader for whom nothing happened. To go on after a break, send the last id as Last-Event-ID, or `after`.
    """
    wanted = filter_of_query(query)
    if isinstance(wanted, Rejected):
        raise Refused(wanted)
    return EventStream(caller, caller.services.hub, wanted, _cursor(caller, query.after))


def _cursor(caller: Caller, after: int | None) -> int | None:
    """Return where to begin; a client that connects again sends a header beside its old query."""
    text = caller.request.headers.get(LAST_EVENT_ID)
    # EventSource sends an empty one where it has none.
    if not text:
        return after
    if _SEQ.fullmatch(text) is None:
        raise Refused(invalid("Last-Event-ID must be the id of a frame", field=LAST_EVENT_ID))
    return int(text)
