"""Questions for proofs about the journal; the historian answers them from the file (actors/historian.py)."""

from __future__ import annotations

from dataclasses import dataclass

from helix_ray.core.access import AUDITORS
from helix_ray.core.errors import ErrorCode, Rejected, not_found
from helix_ray.core.question_kind import QuestionKind
from helix_ray.core.views.proofs import (
    CheckpointPageView,
    CheckpointView,
    ConsistencyView,
    InclusionView,
    SizeView,
)


@dataclass(frozen=True, slots=True)
class JournalSize(QuestionKind[SizeView]):
    """How many facts the journal has. The master's answer also says that the caller may ask for proofs."""

    allowed = AUDITORS
    short = True


@dataclass(frozen=True, slots=True)
class NewestCheckpoint(QuestionKind[CheckpointView]):
    """The newest signed checkpoint."""

    allowed = AUDITORS
    of_journal = True


@dataclass(frozen=True, slots=True)
class ListCheckpoints(QuestionKind[CheckpointPageView]):
    """Signed checkpoints that were recorded, the newest first: at most `limit`, from before fact `before`."""

    allowed = AUDITORS
    of_journal = True

    limit: int = 100
    before: int | None = None


@dataclass(frozen=True, slots=True)
class ProveInclusion(QuestionKind[InclusionView]):
    """The proof that a fact is among the first `size` (default: all)."""

    allowed = AUDITORS
    of_journal = True

    seq: int
    size: int | None = None


@dataclass(frozen=True, slots=True)
class ProveConsistency(QuestionKind[ConsistencyView]):
    """The proof that the first `new` facts (default: all) begin with the first `old`."""

    allowed = AUDITORS
    of_journal = True

    old: int
    new: int | None = None


ProofQuestion = NewestCheckpoint | ListCheckpoints | ProveInclusion | ProveConsistency


def within(question: ProofQuestion, head: int) -> ProofQuestion | Rejected:
    """Return the question with its sizes filled in for a journal of `head` facts, or its refusal."""
    if isinstance(question, ProveInclusion):
        size = head if question.size is None else question.size
        return _inclusion(question.seq, size, head)
    if isinstance(question, ProveConsistency):
        new = head if question.new is None else question.new
        return _consistency(question.old, new, head)
    return question


def _inclusion(seq: int, size: int, head: int) -> ProveInclusion | Rejected:
    if not 1 <= seq <= head:
        return not_found("Fact", str(seq))
    if size > head:
        return _too_large("size", size, head)
    if size < seq:
        return _invalid("size", f"The first {size} facts do not contain fact {seq}: give at least {seq}")
    return ProveInclusion(seq, size)


def _consistency(old: int, new: int, head: int) -> ProveConsistency | Rejected:
    if new > head:
        return _too_large("to", new, head)
    if not 0 <= old <= new:
        return _invalid("from", f"from must be between 0 and to, which is {new}, not {old}")
    return ProveConsistency(old, new)


def _too_large(field: str, size: int, head: int) -> Rejected:
    return _invalid(field, f"The journal has {head} facts, fewer than {size}: give at most {head}")


def _invalid(field: str, message: str) -> Rejected:
    return Rejected(ErrorCode.VALIDATION_ERROR, message, {"field": field})
