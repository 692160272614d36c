"""Which answers are reads of sensitive data, and of what, for the audit.

Each kind of question says its class itself (core/question_kind.py). Lists of tasks have no contents and are
no reads, nor is what is told (events, webhooks, what devices follow) by somebody's earlier choice. Proofs and
checkpoints are hashes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Final, NamedTuple

from helix_ray.core.audit_questions import ListAudit
from helix_ray.core.question_kind import QuestionKind
from helix_ray.core.questions import ReadItems, ReadLog, WaitTasks
from helix_ray.core.read_classes import ReadClass

ASKED_CHARS_MAX: Final = 200
# Fields of a search that say nothing about what was looked for; a text may be a person's name.
_UNSAID: Final = frozenset({"text", "before", "limit"})
# How those who follow the whole audit are recorded (core/audit/kinds.py).
_READ: Final = "read_audit"
_EXPORT: Final = "export_audit"
_FOLLOWS: Final = "after="


class Read(NamedTuple):
    """A read: its class, the ids of the things that were read, and what a search looked for."""

    read: ReadClass
    ids: tuple[str, ...] = ()
    asked: str = ""


def read_of(question: QuestionKind[Any], view: Mapping[str, Any]) -> Read | None:
    """Return what was read with this answer; None where nothing was."""
    read = question.reads
    if read is None:
        return None
    if isinstance(question, ListAudit):
        return None if _shows_only_followers(question, view) else Read(read, asked=_asked(question))
    if isinstance(question, WaitTasks):
        ids = tuple(done["id"] for done in view["done"]) if question.results else ()
        return Read(read, ids) if ids else None
    if isinstance(question, (ReadLog, ReadItems)):
        return Read(read, (question.task_id,)) if view.get("text") or view.get("data") else None
    thing = _named(question) or view.get("id")
    return Read(read, (thing,) if isinstance(thing, str) else ())


def read_before(question: QuestionKind[Any]) -> Read | None:
    """Return what will be read, where that is known without the answer: any search of the audit, whatever it
    finds, but a page of its followers."""
    if not isinstance(question, ListAudit) or _is_followers(question):
        return None
    return Read("audit", asked=_asked(question))


def _named(question: Any) -> str | None:
    """Return the id in a question about one thing."""
    for spec in fields(question):
        if spec.name.endswith("_id") and (value := getattr(question, spec.name)) is not None:
            return str(value)
    return None


def _shows_only_followers(question: ListAudit, view: Mapping[str, Any]) -> bool:
    """Say whether a page for one who follows the audit has nothing but what such followers do.

    These reads are not recorded, or each would be the news that causes the next one. A search with filters
    tells something by finding nothing.
    """
    return _is_followers(question) and all(
        is_by_follower(row["action"], row["details"]) for row in view["rows"] or ()
    )


def _is_followers(question: ListAudit) -> bool:
    return question.after is not None and question == ListAudit(limit=question.limit, after=question.after)


def is_by_follower(action: str, details: Mapping[str, Any]) -> bool:
    """Say whether a record of the audit is of its being followed: nobody else has done anything."""
    asked = str(details.get("asked", ""))
    return action == _EXPORT or (action == _READ and asked.startswith(_FOLLOWS) and " " not in asked)


def _asked(question: ListAudit) -> str:
    said = [
        f"{spec.name}={value}"
        for spec in fields(question)
        if spec.name not in _UNSAID and (value := getattr(question, spec.name)) is not None
    ]
    return " ".join([*said, "text"] if question.text is not None else said)[:ASKED_CHARS_MAX]
