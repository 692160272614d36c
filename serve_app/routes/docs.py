"""The API's documentation: the OpenAPI document, and a page that shows it without loading
anything from other hosts."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

import orjson
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from helix_ray.core.errors import ErrorCode, Refused, Rejected
from serve_app.answers import json_answer
from serve_app.deps import services_of
from serve_app.edge import state
from serve_app.openapi import operations

router = APIRouter(include_in_schema=False)

POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"
STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "summary{cursor:pointer;padding:.3rem 0}code{font-size:14px}b{display:inline-block;width:4.5rem}"
    "pre{background:#f4f4f6;padding:.7rem;overflow:auto;font-size:13px}td{padding:.1rem .8rem .1rem "
    "0;vertical-align:top}"
    "@media(prefers-color-scheme:dark){body{background:#16161a;color:#ddd}pre{background:#222}a{color:#8bf}}"
)


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
    return HTMLResponse(page(request.app.openapi()), headers={"content-security-policy": POLICY})


def page(document: dict[str, Any]) -> str:
    """Return the HTML page: one line for each operation, which expands."""
    info = document["info"]
    parts = [_operation(*found) for found in operations(document)]
    schemas = document["components"]["schemas"].items()
    parts.append("<h2>Models</h2>")
    parts += [
        f'<details id="{_text(name)}"><summary>{_text(name)}</summary>{_json(s)}</details>'
        for name, s in schemas
    ]
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{_text(info['title'])}</title>"
        f"<style>{STYLE}</style><h1>{_text(info['title'])} <small>{_text(info['version'])}</small></h1>"
        f"<p>{_text(info['description'])} This page as data: <a href=openapi.json>openapi.json</a>.</p>"
        + "".join(parts)
    )


def _operation(path: str, method: str, operation: dict[str, Any]) -> str:
    rows = [(p["name"], f"{p['in']}: {p['description']}") for p in operation.get("parameters", ())]
    rows += [(status, _answer(answer)) for status, answer in operation["responses"].items()]
    body = operation.get("requestBody")
    shown = f"<p>Body: {_body(body['content'])}</p>" if body else ""
    table = "".join(f"<tr><td><code>{_text(name)}</code><td>{_text(said)}" for name, said in rows)
    return (
        f"<details><summary><b>{method.upper()}</b><code>{_text(path)}</code></summary>"
        f"<p>{_text(operation.get('description', ''))}</p>{shown}<table>{table}</table></details>"
    )


def _answer(answer: dict[str, Any]) -> str:
    schema = answer.get("content", {}).get("application/json", {}).get("schema", {})
    name = schema.get("$ref", "").rpartition("/")[2]
    return f"{name} {answer['description']}".strip()


def _body(content: Mapping[str, Any]) -> str:
    """Return a link to the model of a JSON body; the kind and the fields of a form."""
    if "application/json" in content:
        return _model(content["application/json"]["schema"])
    ((kind, form),) = content.items()
    return f"{_text(kind)}: {_text(', '.join(form['schema']['properties']))}"


def _model(schema: dict[str, Any]) -> str:
    name = _text(schema["$ref"].rpartition("/")[2])
    return f"<a href=#{name}>{name}</a>"


def _json(value: Any) -> str:
    return f"<pre>{_text(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())}</pre>"


def _text(value: Any) -> str:
    return html.escape(str(value))
