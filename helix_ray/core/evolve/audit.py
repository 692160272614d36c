"""Folds facts about the audit itself."""

from __future__ import annotations

from helix_ray.core import events as ev
from helix_ray.core.evolve.applier import Appliers
from helix_ray.core.state import State


def _exported(state: State, event: ev.AuditExported, fact: ev.Fact) -> None:
    state.exported_through = max(state.exported_through, event.exported_through)


def _compared(state: State, event: ev.AuditCompared, fact: ev.Fact) -> None:
    state.audit_difference = event.difference


def _checked(state: State, event: ev.JournalChecked, fact: ev.Fact) -> None:
    state.journal_damage = event.damage


def _retained(state: State, event: ev.AuditRetentionSet, fact: ev.Fact) -> None:
    state.audit_keep_s, state.audit_until_exported = event.keep_s, event.until_exported


AUDIT_FACTS: Appliers = {
    ev.AuditExported: _exported,
    ev.AuditCompared: _compared,
    ev.JournalChecked: _checked,
    ev.AuditRetentionSet: _retained,
}
