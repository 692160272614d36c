"""Orders about reads of sensitive data."""

from __future__ import annotations

from helix_ray.core.decide.outcome import Context, Decider, Decision
from helix_ray.core.errors import Rejected, invalid
from helix_ray.core.events import DataRead
from helix_ray.core.orders import NoteReads
from helix_ray.core.orders.kind import NoData
from helix_ray.core.read_classes import READ_CLASSES


def note_reads(body: NoteReads, ctx: Context) -> Decision[NoData] | Rejected:
    """Record them; what is recorded, the reader's process has decided by the policy."""
    if body.read not in READ_CLASSES or body.count < 1:
        return invalid("Invalid read", field="read", allowed_values=[*READ_CLASSES])
    read = DataRead(body.read, body.count, [*body.ids], body.asked, body.gap)
    return Decision([read], {}, author=body.reader)


READ_ORDERS: dict[type, Decider] = {NoteReads: note_reads}
