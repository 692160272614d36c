"""The API's documentation: the OpenAPI document, and a page that shows it without loading
anything from other hosts."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from helix_ray.core.errors import ErrorCode, Refused, Rejected
from serve_app.answers import json_answer
from serve_app.deps import services_of
from serve_app.edge import state

router = APIRouter(include_in_schema=False)

POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"


def _admit(request: Request) -> None:
    """Require a valid token where the documentation is not public."""
    if services_of(request).settings.docs_open:
        return
    if request.scope["state"].get(state.CLAIMS) is None:
        raise Refused(Rejected(ErrorCode.UNAUTHORIZED, "Missing or invalid authentication token"))


@router.get("/openapi.json")
async def openapi_document(request: Request) -> Response:
    """Return the OpenAPI document."""
    _admit(request)
    return json_answer(request.app.openapi())


@router.get("/docs")
async def docs_page(request: Request) -> Response:
    """Return the documentation as a page."""
    _admit(request)
    from serve_app.docs_page import page  # most replicas are never asked for it

    return HTMLResponse(page(request.app.openapi()), headers={"content-security-policy": POLICY})
