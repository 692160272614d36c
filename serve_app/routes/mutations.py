"""What devices send: mutations of documents and tasks, and decisions about conflicts.

A mutation that is not valid is refused by itself, with a verdict, so that it does not hold up those after it.
An order of the control plane carries out at most one mutation of a task, so one request may be several
orders, each of which is durable by itself; a repeated request gets the verdicts of all of them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Annotated, Any, cast

from fastapi import APIRouter, Query
from starlette.responses import Response

from helix_ray.core.decide.tasks import EDITABLE
from helix_ray.core.errors import Refused, Rejected, invalid
from helix_ray.core.orders import PushMutations, ResolveConflict
from helix_ray.core.orders.devices import MutatedData, Mutation
from helix_ray.core.questions import GetDocuments, ListConflicts
from helix_ray.core.values import fault
from helix_ray.wire import devices as shapes
from helix_ray.wire.tasks import TASK, TASK_UPDATE
from helix_ray.wire.times import iso
from serve_app.answers import json_answer, no_content
from serve_app.bodies import Body, read
from serve_app.deps import Caller, SignedIn
from serve_app.openapi import verb

router = APIRouter(prefix="/harmony/sync", tags=["harmony"])


@router.post("/mutations", **verb("PushMutations", body=shapes.MutationsIn, answers=shapes.MutationsOut))
async def push_mutations(caller: SignedIn) -> Response:
    """Carry out what a device has done, in the order of its numbers, each once; CONFLICT with `expected`
    where some are missing before the first."""
    sent = await read(caller.request)
    mutations = [_mutation(each) for each in sent.validated(shapes.MUTATIONS, "mutations")["mutations"]]
    return json_answer(shapes.mutations_out(await _pushed(caller, sent, mutations)))


async def _pushed(caller: Caller, sent: Body, mutations: list[Mutation]) -> MutatedData:
    """Carry them out in as many orders as that needs."""
    whole: MutatedData = {"verdicts": [], "last_mutation": 0, "server_time": time.time()}
    while rest := mutations[len(whole["verdicts"]) :]:
        part = str(len(whole["verdicts"])) if whole["verdicts"] else ""
        receipt = await caller.services.execute(caller.order(PushMutations(tuple(rest)), sent, part))
        whole["verdicts"] += receipt.data["verdicts"]
        whole["last_mutation"] = receipt.data["last_mutation"]
        whole["server_time"] = receipt.data["server_time"]
    return whole


def _mutation(sent: shapes.MutationIn) -> Mutation:
    """Return a mutation as orders have it; `invalid` says what is wrong with it."""
    plain = {name: value for name, value in sent.items() if name != "corrected"}
    refused: Rejected | None = None
    if (found := fault(plain)) is not None:
        refused = invalid(f"Invalid mutation {found.field}: {found.why}", field=found.field)
    else:
        try:
            plain |= _of_task(plain)
        except Refused as error:
            refused = error.rejected
    if refused is not None:
        kept = {name: plain[name] for name in ("id", "op", "stamp")}
        return cast("Mutation", {**kept, "invalid": [refused.code, refused.message, refused.details]})
    return cast("Mutation", plain)


def _of_task(plain: Mapping[str, Any]) -> dict[str, object]:
    """Return a task and edits in the form that the routes of tasks give them; raise Refused."""
    found: dict[str, object] = {}
    if plain["op"] == "submit":
        found["task"] = Body(plain.get("task")).validated(TASK, "task")
    elif plain["op"] == "edit":
        change = Body(plain.get("edits")).validated(TASK_UPDATE, "task")
        found["edits"] = {name: value for name, value in change.items() if name in EDITABLE}
    return found


@router.get("/documents", **verb("GetDocuments", answers=shapes.DocumentsOut))
async def list_documents(caller: SignedIn, query: Annotated[shapes.DocumentsQuery, Query()]) -> Response:
    """List one's settings and notes, which one's devices share."""
    answer = await caller.query(GetDocuments(query.kind))
    return json_answer({"documents": [shapes.document_out(each) for each in answer["documents"]]})


@router.get("/conflicts", **verb("ListConflicts", answers=shapes.SyncConflictsOut))
async def list_conflicts(caller: SignedIn) -> Response:
    """List changes of one's documents that were not applied, or were overwritten, and are not decided."""
    answer = await caller.query(ListConflicts())
    listed = [shapes.conflict_out(each) for each in answer["conflicts"]]
    return json_answer({"conflicts": listed, "server_time": iso(time.time())})


@router.post("/conflicts/{conflict_id}", **verb("ResolveConflict", body=shapes.ResolutionIn, status=204))
async def resolve_conflict(conflict_id: str, caller: SignedIn) -> Response:
    """Decide about a conflict: keep the document as it is, write what is listed, or write other fields."""
    sent = await read(caller.request)
    decided = sent.validated(shapes.RESOLUTION, "conflict")
    body = ResolveConflict(conflict_id, decided["keep"], decided.get("fields"))
    return no_content(await caller.execute(body, sent))
