"""Orders about refusals recorded for the audit."""

from __future__ import annotations

from typing import get_args

from helix_ray.core.decide.outcome import Context, Decider, Decision
from helix_ray.core.errors import Rejected, invalid
from helix_ray.core.orders import (
    NoteRefusals,
    Refusal,
)
from helix_ray.core.orders.kind import NoData, RefusalKind


def note_refusals(body: NoteRefusals, ctx: Context) -> Decision[NoData] | Rejected:
    """Record refusals of replicas; the tally decides which become facts (core/refusals.py)."""
    for noted in body.refusals:
        if not isinstance(noted, Refusal) or noted.kind not in get_args(RefusalKind) or noted.count < 1:
            return invalid("Invalid refusal", field="refusals", allowed_values=[*get_args(RefusalKind)])
    return Decision([], {}, noted=body.refusals)


REFUSAL_ORDERS: dict[type, Decider] = {NoteRefusals: note_refusals}
