"""Orders about the audit itself."""

from __future__ import annotations

from dataclasses import dataclass

from helix_ray.core.access import AUDITORS, SYSTEM_ONLY
from helix_ray.core.orders.kind import NoData, OrderKind


@dataclass(frozen=True, slots=True)
class NoteCheckpoint(OrderKind[NoData]):
    """Record a checkpoint that was signed; the fields are those of CheckpointSigned."""

    allowed = SYSTEM_ONLY
    needs_key = True

    size: int
    root: str
    note: str


@dataclass(frozen=True, slots=True)
class AcknowledgeExport(OrderKind[NoData]):
    """Record up to which fact the audit is kept elsewhere; the fields are those of AuditExported."""

    allowed = AUDITORS
    needs_key = False  # saying it twice changes nothing

    name: str
    through: int
    checkpoint_size: int = 0
    checkpoint_root: str = ""
    gap_from: int = 0
    gap_to: int = 0


@dataclass(frozen=True, slots=True)
class NoteRetention(OrderKind[NoData]):
    """Record how long records of the audit stay searchable, where that has changed or the history is rebuilt;
    the fields are those of AuditRetentionSet."""

    allowed = SYSTEM_ONLY
    needs_key = False  # saying it twice changes nothing

    keep_s: float
    until_exported: bool = False
    built_anew: bool = False


@dataclass(frozen=True, slots=True)
class NotePruning(OrderKind[NoData]):
    """Record the time before records that are too old are removed; the field is that of AuditPruned."""

    allowed = SYSTEM_ONLY
    needs_key = False  # saying it twice changes nothing

    before: float


@dataclass(frozen=True, slots=True)
class NoteJournalCheck(OrderKind[NoData]):
    """Record whether the journal is intact, where that has changed; the fields are those of
    JournalChecked."""

    allowed = SYSTEM_ONLY
    needs_key = False  # saying it twice changes nothing

    facts: int
    damage: str = ""


@dataclass(frozen=True, slots=True)
class NoteComparison(OrderKind[NoData]):
    """Record whether the audit is what the journal says, where that has changed; the fields are those of
    AuditCompared."""

    allowed = SYSTEM_ONLY
    needs_key = False  # saying it twice changes nothing

    facts: int
    place: int = 0
    difference: str = ""
