"""The stream of notices on the wire: its query, and the frames of Server-Sent Events."""

from __future__ import annotations

from typing import Annotated, Any

import orjson
from pydantic import BaseModel, ConfigDict, Field, with_config
from typing_extensions import TypedDict

from helix_ray.core.errors import Rejected, invalid
from helix_ray.core.notices import Filter, Notice, filter_of
from helix_ray.wire.times import iso
from helix_ray.wire.values import CLOSED, SEQ_MAX

EVENT_STREAM = "text/event-stream"
LIST_CHARS_MAX = 1_000

BOOKMARK = "bookmark"

List = Annotated[str, Field(max_length=LIST_CHARS_MAX)]


class EventsQuery(BaseModel):
    """Which notices are wanted: comma-separated lists, of which an empty one is everything."""

    model_config = ConfigDict(extra="forbid")

    events: List = Field("", description="Names of events, `task.*` or `*`, separated by commas.")
    project: List = Field("", description="Ids of projects, separated by commas.")
    type: List = Field("", description="Types of tasks, separated by commas.")
    label: List = Field(
        "", description="Pairs `key=value`, separated by commas; a task must have all of them as labels."
    )
    status: List = Field("", description="Statuses of tasks, separated by commas.")
    after: Annotated[int, Field(ge=0, le=SEQ_MAX)] | None = Field(
        None, description="The seq of the last notice that was read; without it the stream begins now."
    )


@with_config(CLOSED)
class EventOut(TypedDict):
    """What a frame has as its data: one notice. `data` depends on the event."""

    seq: int
    event: Annotated[str, Field(examples=["task.completed"])]
    timestamp: Annotated[str, Field(examples=["2025-11-07T11:00:00.000Z"])]
    subject: Annotated[str, Field(examples=["task-456"])]
    project_id: str | None
    data: dict[str, Any]


@with_config(CLOSED)
class BookmarkOut(TypedDict):
    """What a bookmark has as its data: how far the reader is."""

    seq: int


# A frame as a reader parses it.
FRAME_SCHEMA = {
    "title": "EventFrame",
    "type": "object",
    "properties": {
        "id": {"type": "string", "pattern": "^[0-9]+$"},
        "event": {"type": "string", "examples": ["task.completed", BOOKMARK]},
        "retry": {"type": "integer"},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": {
                "anyOf": [{"$ref": f"#/components/schemas/{name}"} for name in ("EventOut", "BookmarkOut")]
            },
        },
    },
}


def filter_of_query(query: EventsQuery) -> Filter | Rejected:
    """Return the filter of a query; refuse unknown names, and labels that are no pairs."""
    labels: list[tuple[str, str]] = []
    for text in _listed(query.label):
        name, separator, value = text.partition("=")
        if not separator or not name:
            return invalid("A label of the filter must be key=value", field="label")
        labels.append((name, value))
    return filter_of(
        _listed(query.events), _listed(query.project), _listed(query.type), labels, _listed(query.status)
    )


def _listed(text: str) -> list[str]:
    return [part for part in (piece.strip() for piece in text.split(",")) if part]


def event_out(notice: Notice) -> EventOut:
    """Return a notice as JSON."""
    return {
        "seq": notice.seq,
        "event": notice.event,
        "timestamp": iso(notice.at),
        "subject": notice.subject,
        "project_id": notice.about.project,
        "data": notice.data,
    }


def frame_of(notice: Notice) -> bytes:
    """Return the frame of a notice: its seq as id, its name, its JSON in one line."""
    data = orjson.dumps(event_out(notice))
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (notice.seq, notice.event.encode(), data)


def bookmark(seq: int) -> bytes:
    """Return the frame that moves a reader's cursor where nothing was for them."""
    return b'id: %d\nevent: bookmark\ndata: {"seq":%d}\n\n' % (seq, seq)


def retry(after_ms: int) -> bytes:
    """Return the frame that says how long to wait before connecting again."""
    return b"retry: %d\n\n" % after_ms
