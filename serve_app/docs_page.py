"""The page that shows the OpenAPI document: operations that unfold, and models as tables; no scripts."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from serve_app.openapi import JSON, operations
from serve_app.schema_types import type_of

STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem;"
    "overflow-wrap:anywhere}"
    "summary{cursor:pointer;padding:.3rem 0}code{font-size:14px}b{display:inline-block;width:4.5rem}"
    "pre{background:#f4f4f6;padding:.7rem;white-space:pre-wrap;font-size:13px}"
    "table{border-collapse:collapse;width:100%;margin-bottom:1rem}"
    "th,td{text-align:left;padding:.25rem .8rem .25rem 0;vertical-align:top;border-top:1px solid #8884}"
    "th{white-space:nowrap}"
    "th:nth-child(1){width:20%}th:nth-child(2){width:28%}th:nth-child(3):not([colspan]){width:8%}"
    "td:first-child code{font-weight:bold}h3{margin:2rem 0 .3rem}h3:target{background:#fd08}"
    # Each row as a paragraph: the field and its type in one line, and below it what it means.
    "@media(max-width:45rem){table,tbody,tr{display:block}tr:has(th){display:none}"
    "tr{border-top:1px solid #8884;padding:.3rem 0}td{display:inline;border:0;padding:0 .5rem 0 0}"
    "td:last-child{display:block}}"
    "@media(prefers-color-scheme:dark){body{background:#16161a;color:#ddd}pre{background:#222}a{color:#8bf}}"
)
HEAD = "<tr><th>field<th>type<th>required<th>description"

# Name, type in HTML, whether it is required, description.
Row = tuple[str, str, bool, str]


def page(document: Mapping[str, Any]) -> str:
    """Return the page of an OpenAPI document."""
    info = document["info"]
    title = text(info["title"])
    schemas: Mapping[str, Any] = document["components"]["schemas"]
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8>"
        f'<meta name=viewport content="width=device-width,initial-scale=1"><title>{title}</title>'
        f"<style>{STYLE}</style><h1>{title} <small>{text(info['version'])}</small></h1>"
        f"<p>{said(info['description'])} This page as data: <a href=openapi.json>openapi.json</a>."
        f" Below the operations are <a href=#models>the models</a>.</p>"
        + "".join(_operation(*found) for found in operations(document))
        + "<h2 id=models>Models</h2>"
        + "".join(_model(name, schema) for name, schema in sorted(schemas.items()))
    )


def _operation(path: str, method: str, operation: Mapping[str, Any]) -> str:
    parameters = [_parameter(each) for each in operation.get("parameters", ())]
    sent = operation.get("requestBody", {}).get("content", {})
    answers = operation["responses"]
    return (
        f"<details><summary><b>{method.upper()}</b><code>{text(path)}</code></summary>"
        f"<p>{said(operation.get('description', ''))}</p>"
        + (_table(parameters) if parameters else "")
        + (f"<p>Body: {_kinds(sent)}</p>{_forms(sent)}" if sent else "")
        + "<table><tr><th>status<th>answer<th colspan=2>description"
        + "".join(_answer(*found) for found in sorted(answers.items()))
        + f"</table>{''.join(_forms(each.get('content', {})) for each in answers.values())}</details>"
    )


def _parameter(parameter: Mapping[str, Any]) -> Row:
    kind = f"{text(parameter['in'])}: {type_of(parameter['schema'])}"
    return parameter["name"], kind, parameter.get("required", False), parameter["description"]


def _answer(status: str, answer: Mapping[str, Any]) -> str:
    shown = _kinds(answer.get("content", {}))
    return f"<tr><td><code>{text(status)}</code><td>{shown}<td colspan=2>{said(answer['description'])}"


def _kinds(content: Mapping[str, Any]) -> str:
    """Return what a body or an answer is: its model, or its media type."""
    return " or ".join(
        type_of(form["schema"]) if media == JSON else f"<code>{text(media)}</code>"
        for media, form in content.items()
        if form.get("schema")
    )


def _forms(content: Mapping[str, Any]) -> str:
    """Return the fields of what is not a model: forms, and frames of streams."""
    schemas = (form.get("schema", {}) for form in content.values())
    return "".join(_fields(schema) for schema in schemas if "properties" in schema)


def _model(name: str, schema: Mapping[str, Any]) -> str:
    about = said(schema.get("description", ""))
    shown = _fields(schema) if "properties" in schema else f"<p>{type_of(schema)}</p>"
    examples = "".join(f"<pre>{_json(example)}</pre>" for example in schema.get("examples", ()))
    return f"<h3 id={text(name)}>{text(name)}</h3><p>{about}</p>{shown}{examples}"


def _fields(schema: Mapping[str, Any]) -> str:
    required = schema.get("required", ())
    return _table(
        (name, type_of(field), name in required, field.get("description", ""))
        for name, field in schema["properties"].items()
    )


def _table(rows: Iterable[Row]) -> str:
    return (
        f"<table>{HEAD}"
        + "".join(
            f"<tr><td><code>{text(name)}</code><td>{kind}<td>{'required' if required else 'optional'}"
            f"<td>{said(description)}"
            for name, kind, required, description in rows
        )
        + "</table>"
    )


def _json(value: Any) -> str:
    return text(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())


def said(sentence: str) -> str:
    """Return a sentence of the document, in which backquotes enclose code."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", text(sentence))


def text(value: object) -> str:
    """Return a value as text of HTML."""
    return html.escape(str(value))
