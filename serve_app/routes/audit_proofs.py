"""Aurora: proofs about the journal, for auditors."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import PlainTextResponse, Response

from helix_ray.core.proof_questions import (
    ListCheckpoints,
    NewestCheckpoint,
    ProveConsistency,
    ProveInclusion,
)
from helix_ray.wire import audit_proofs as shapes
from serve_app.answers import json_answer
from serve_app.deps import SignedIn
from serve_app.openapi import verb

router = APIRouter(prefix="/aurora/audit", tags=["aurora"])

_DESCRIBED = verb("NewestCheckpoint", answers=shapes.CheckpointOut)
_DESCRIBED["responses"][200]["content"] = {"text/plain": {"schema": {"type": "string"}}}


@router.get("/checkpoint", **_DESCRIBED)
async def get_checkpoint(caller: SignedIn) -> Response:
    """Return the newest signed checkpoint; as text, or as JSON where `Accept` names it."""
    view = await caller.query(NewestCheckpoint())
    if "application/json" in caller.request.headers.get("accept", ""):
        return json_answer(shapes.checkpoint_out(view))
    return PlainTextResponse(view["note"])


@router.get("/checkpoints", **verb("ListCheckpoints", answers=shapes.CheckpointsOut))
async def list_checkpoints(caller: SignedIn, query: Annotated[shapes.CheckpointsQuery, Query()]) -> Response:
    """Return the signed checkpoints that were recorded, the newest first."""
    found = await caller.query(ListCheckpoints(query.limit, query.cursor))
    return json_answer(shapes.checkpoints_out(found))


@router.get("/proof/inclusion", **verb("ProveInclusion", answers=shapes.InclusionOut, may_miss=True))
async def prove_inclusion(caller: SignedIn, query: Annotated[shapes.InclusionQuery, Query()]) -> Response:
    """Return the proof that a fact is among the first ones; an erased fact has one too."""
    return json_answer(shapes.inclusion_out(await caller.query(ProveInclusion(query.seq, query.size))))


@router.get("/proof/consistency", **verb("ProveConsistency", answers=shapes.ConsistencyOut))
async def prove_consistency(caller: SignedIn, query: Annotated[shapes.ConsistencyQuery, Query()]) -> Response:
    """Return the proof that the journal of one size begins with that of an earlier size."""
    return json_answer(shapes.consistency_out(await caller.query(ProveConsistency(query.old, query.to))))
