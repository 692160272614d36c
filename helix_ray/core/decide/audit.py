"""Orders about the audit itself."""

from __future__ import annotations

import re
from typing import Final

from helix_ray.core.decide.outcome import Context, Decider, Decision
from helix_ray.core.errors import Rejected, invalid
from helix_ray.core.events import (
    AuditCompared,
    AuditExported,
    AuditPruned,
    AuditRetentionSet,
    CheckpointSigned,
    JournalChecked,
)
from helix_ray.core.orders import (
    AcknowledgeExport,
    NoteCheckpoint,
    NoteComparison,
    NoteJournalCheck,
    NotePruning,
    NoteRetention,
)
from helix_ray.core.orders.kind import NoData

EXPORT_NAME_CHARS_MAX: Final = 100
_NAME: Final = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._:/-]{{0,{EXPORT_NAME_CHARS_MAX - 1}}}")
# 32 bytes in base64.
_ROOT: Final = re.compile(r"[A-Za-z0-9+/]{43}=")


def acknowledge(body: AcknowledgeExport, ctx: Context) -> Decision[NoData] | Rejected:
    """Record what somebody has: nothing that is not there yet."""
    head = ctx.state.seq
    if _NAME.fullmatch(body.name) is None:
        message = f"The name must be 1 to {EXPORT_NAME_CHARS_MAX} letters, digits and . _ : / -"
        return invalid(message, field="name")
    if not 0 < body.through <= head:
        return invalid(f"The journal has facts 1 to {head}", field="through", head=head)
    if (body.checkpoint_size, body.checkpoint_root) != (0, "") and not (
        0 < body.checkpoint_size <= head and _ROOT.fullmatch(body.checkpoint_root)
    ):
        message = "The checkpoint must have the size and the root, in base64, of one of this journal"
        return invalid(message, field="checkpoint", head=head)
    if (body.gap_from, body.gap_to) != (0, 0) and not 0 < body.gap_from <= body.gap_to <= body.through:
        return invalid("The gap must be a range of facts up to `through`", field="gap")
    exported = AuditExported(
        body.name, body.through, body.checkpoint_size, body.checkpoint_root, body.gap_from, body.gap_to
    )
    return Decision([exported], {})


def note_checkpoint(body: NoteCheckpoint, ctx: Context) -> Decision[NoData]:
    """Record it."""
    return Decision([CheckpointSigned(body.root, body.size, body.note)], {})


def note_comparison(body: NoteComparison, ctx: Context) -> Decision[NoData]:
    """Record it where it says something else than the comparison before."""
    if body.difference == ctx.state.audit_difference:
        return Decision([], {})
    found = "differs" if body.difference else "agrees"
    return Decision([AuditCompared(found, body.facts, body.place, body.difference)], {})


def note_journal_check(body: NoteJournalCheck, ctx: Context) -> Decision[NoData]:
    """Record it where it says something else than the check before."""
    if body.damage == ctx.state.journal_damage:
        return Decision([], {})
    return Decision([JournalChecked("damaged" if body.damage else "intact", body.facts, body.damage)], {})


def note_pruning(body: NotePruning, ctx: Context) -> Decision[NoData]:
    """Record it."""
    return Decision([AuditPruned("audit", body.before)], {})


def note_retention(body: NoteRetention, ctx: Context) -> Decision[NoData]:
    """Record it where it is another than before, or the history starts over under it."""
    retention = (body.keep_s, body.until_exported)
    if retention == (ctx.state.audit_keep_s, ctx.state.audit_until_exported) and not body.built_anew:
        return Decision([], {})
    return Decision([AuditRetentionSet("audit", *retention, body.built_anew)], {})


AUDIT_ORDERS: dict[type, Decider] = {
    AcknowledgeExport: acknowledge,
    NoteCheckpoint: note_checkpoint,
    NoteComparison: note_comparison,
    NoteJournalCheck: note_journal_check,
    NotePruning: note_pruning,
    NoteRetention: note_retention,
}
