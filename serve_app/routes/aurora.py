"""Aurora: how the system is, and what was done."""

from __future__ import annotations

from base64 import b64encode
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from helix_ray.core.errors import ErrorCode, Refused, invalid
from helix_ray.core.proof_questions import ProveConsistency
from helix_ray.core.questions import SecurityFigures
from helix_ray.wire import audit as audit_shapes
from helix_ray.wire import monitoring as shapes
from helix_ray.wire import security as security_shapes
from serve_app.answers import json_answer
from serve_app.bodies import read
from serve_app.deps import Caller, SignedIn
from serve_app.openapi import verb

router = APIRouter(prefix="/aurora", tags=["aurora"])


@router.get("/monitoring/system", **verb("SystemFigures", answers=shapes.SystemOut, may_miss=True))
async def get_system(caller: SignedIn, query: Annotated[shapes.SystemQuery, Query()]) -> Response:
    """Return how the hosts of the cluster are, added up, or the host of one node; with `since`, how they
    were."""
    return json_answer(shapes.system_out(await caller.query(query.question())))


@router.get("/audit", **verb("ListAudit", answers=audit_shapes.AuditOut))
async def list_audit(caller: SignedIn, query: Annotated[audit_shapes.AuditQuery, Query()]) -> Response:
    """Return records of the audit, the newest first."""
    return json_answer(audit_shapes.audit_out(await caller.query(query.question())))


@router.post(
    "/audit/exports",
    **verb(
        "AcknowledgeExport", body=audit_shapes.AuditExportIn, answers=audit_shapes.AuditExportOut, status=201
    ),
)
async def acknowledge_export(caller: SignedIn) -> Response:
    """Record up to which fact the audit is kept elsewhere."""
    sent = await read(caller.request)
    wanted = sent.validated(audit_shapes.EXPORT, "export")
    await _compare(caller, wanted.get("checkpoint"))
    receipt = await caller.execute(audit_shapes.acknowledgement(wanted), sent)
    return json_answer({"name": wanted["name"], "through": wanted["through"]}, 201, receipt)


async def _compare(caller: Caller, checkpoint: audit_shapes.AuditCheckpointIn | None) -> None:
    """Raise Refused where a checkpoint is not of this journal."""
    if checkpoint is None:
        return
    size = checkpoint["size"]
    try:
        proof = await caller.query(ProveConsistency(size, size))
    except Refused as refused:
        if refused.rejected.code is not ErrorCode.VALIDATION_ERROR:
            raise
        raise Refused(invalid(refused.rejected.message, field="checkpoint", size=size)) from None
    if b64encode(proof["old_root"]).decode() != checkpoint["root"]:
        message = f"The first {size} facts of this journal have another root"
        raise Refused(invalid(message, field="checkpoint", size=size))


@router.get("/metrics/security", **verb("SecurityFigures", answers=security_shapes.SecurityOut))
async def get_security(caller: SignedIn) -> Response:
    """Return sign-ins, sessions, and what is in force, with the reasons."""
    return json_answer(security_shapes.security_out(await caller.query(SecurityFigures())))
