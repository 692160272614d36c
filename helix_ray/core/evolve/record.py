"""Facts that do not affect the state."""

from __future__ import annotations

from helix_ray.core import events as ev
from helix_ray.core.evolve.applier import Appliers
from helix_ray.core.state import State

Recorded = (
    ev.LoginRefused | ev.RequestsRefused | ev.DataRead | ev.CertificateChanged | ev.CertificateRefused
    | ev.CheckpointSigned | ev.AuditPruned | ev.TaskMarked
)  # fmt: skip


def _recorded(state: State, event: Recorded, fact: ev.Fact) -> None:
    """Do nothing: for the audit and those who are told."""


RECORD_FACTS: Appliers = {
    ev.LoginRefused: _recorded,
    ev.RequestsRefused: _recorded,
    ev.DataRead: _recorded,
    ev.CertificateChanged: _recorded,
    ev.CertificateRefused: _recorded,
    ev.CheckpointSigned: _recorded,
    ev.AuditPruned: _recorded,
    ev.TaskMarked: _recorded,
}
