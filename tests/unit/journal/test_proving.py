"""Proofs from the file of a journal that another process owns, and what is refused before."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from helix_ray.core.errors import ErrorCode, Rejected
from helix_ray.core.events import Fact, FactsErased
from helix_ray.core.proof_questions import (
    NewestCheckpoint,
    ProofQuestion,
    ProveConsistency,
    ProveInclusion,
    within,
)
from helix_ray.core.views.proofs import ConsistencyView, InclusionView
from helix_ray.journal.proofs import verify_consistency, verify_inclusion
from helix_ray.journal.proving import prove_stored
from helix_ray.journal.sqlite import SqliteJournal
from helix_ray.ports import Snapshot
from tests.unit.journal.test_sealing import facts

HEAD = 300


def test_an_erased_fact_is_proven_as_before(tmp_path: Path) -> None:
    """The journal is open in its owner; leaf, root and path of an erased fact stay."""
    journal = SqliteJournal(tmp_path, b"k" * 32)
    journal.append(facts(1, HEAD))
    journal.save_snapshot(Snapshot(HEAD - 10, 1, {"seq": HEAD - 10}))
    before = cast("InclusionView", prove_stored(tmp_path, ProveInclusion(7, HEAD)))
    journal.erase(Fact(HEAD + 1, 9e9, "user-admin", "req-e", FactsErased([7], "asked for")))
    after = cast("InclusionView", prove_stored(tmp_path, ProveInclusion(7, HEAD)))
    assert before == after
    assert verify_inclusion(after["leaf"], 7, HEAD, after["path"], journal.root(HEAD))
    grown = cast("ConsistencyView", prove_stored(tmp_path, ProveConsistency(HEAD, HEAD + 1)))
    assert verify_consistency(HEAD, HEAD + 1, grown["path"], before["root"], journal.root())
    journal.close()


@pytest.mark.parametrize(
    ("question", "code"),
    [
        (ProveInclusion(0), ErrorCode.NOT_FOUND),
        (ProveInclusion(HEAD + 1), ErrorCode.NOT_FOUND),
        (ProveInclusion(1, HEAD + 1), ErrorCode.VALIDATION_ERROR),
        (ProveInclusion(2, 1), ErrorCode.VALIDATION_ERROR),
        (ProveConsistency(2, 1), ErrorCode.VALIDATION_ERROR),
        (ProveConsistency(-1), ErrorCode.VALIDATION_ERROR),
        (ProveConsistency(1, HEAD + 1), ErrorCode.VALIDATION_ERROR),
    ],
)
def test_what_is_not_in_the_journal_is_refused(question: ProofQuestion, code: ErrorCode) -> None:
    refusal = within(question, HEAD)
    assert isinstance(refusal, Rejected)
    assert refusal.code is code


def test_sizes_are_those_of_the_whole_journal_unless_given() -> None:
    assert within(ProveInclusion(3), HEAD) == ProveInclusion(3, HEAD)
    assert within(ProveConsistency(3), HEAD) == ProveConsistency(3, HEAD)
    assert within(NewestCheckpoint(), HEAD) == NewestCheckpoint()
