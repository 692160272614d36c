"""Erasures as questions are answered with them."""

from __future__ import annotations

from typing import Literal, TypedDict

from helix_ray.core.erasure_record import Erasure


class ErasureView(TypedDict):
    """One request to erase, and how far it is; `copies` are files that may still have what was erased."""

    id: str
    status: Literal["pending", "completed"]
    tasks: list[str]
    users: list[str]
    reason: str
    requested_by: str
    requested_at: float
    completed_at: float | None
    facts_erased: int
    facts_kept: int
    copies: list[str]


class ErasuresView(TypedDict):
    """Erasures, the newest first."""

    erasures: list[ErasureView]


class ErasedTasksView(TypedDict):
    """Tasks that were erased; `through` is what to ask after next."""

    task_ids: list[str]
    through: int


def erasure_view(erasure: Erasure) -> ErasureView:
    """Return one request to erase."""
    return {
        "id": erasure.id,
        "status": "pending" if erasure.completed_at is None else "completed",
        "tasks": list(erasure.tasks),
        "users": list(erasure.users),
        "reason": erasure.reason,
        "requested_by": erasure.by,
        "requested_at": erasure.requested_at,
        "completed_at": erasure.completed_at,
        "facts_erased": erasure.facts,
        "facts_kept": erasure.kept,
        "copies": list(erasure.copies),
    }
