"""Facts about the audit itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class CheckpointSigned:
    """The tree of the first `size` facts has the root `id`, in base64; `note` is the signed checkpoint
    (helix_ray/checkpoints.py)."""

    id: str
    size: int
    note: str


@dataclass(slots=True)
class AuditExported:
    """The fact's author has the records of the facts up to `exported_through` elsewhere, in the place named
    `id`, with the checkpoint of `checkpoint_size` facts and its root in base64 (0 and "" without one).

    Records of facts from `gap_from` to `gap_to` were removed before they were exported (0: none were).
    """

    id: str
    exported_through: int
    checkpoint_size: int = 0
    checkpoint_root: str = ""
    gap_from: int = 0
    gap_to: int = 0


@dataclass(slots=True)
class AuditRetentionSet:
    """From here on, records of `id` (the `audit`) stay searchable for `keep_s` seconds, and with
    `until_exported` until they are exported; `built_anew`: the history had none then, and gets those of
    before, too."""

    id: str
    keep_s: float
    until_exported: bool = False
    built_anew: bool = False


@dataclass(slots=True)
class AuditPruned:
    """Records of `id` (the `audit`) from before a time are too old, and may be removed from here on. It is
    recorded where no other fact says how late it is."""

    id: str
    before: float


@dataclass(slots=True)
class JournalChecked:
    """All facts up to `facts` were checked; `id` says whether the journal is `intact` or `damaged`, and
    `damage` what does not fit, in one line ("" where everything does)."""

    id: str
    facts: int
    damage: str = ""


@dataclass(slots=True)
class AuditCompared:
    """The records of the facts up to `facts` were compared with these; `id` says whether the audit `agrees`
    or `differs`. `place` is the seq of the first record that differs, and `difference` says what does, in one
    line (0 and "" where none does)."""

    id: str
    facts: int
    place: int = 0
    difference: str = ""
