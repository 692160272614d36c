"""Models: publishers push, activate and delete them; those who may use a model see it.

A push streams its files into the blob store as they arrive, and then gives one order: that examines the
version. docs/models.md explains what becomes of it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import Annotated

import orjson
from fastapi import APIRouter, Query
from starlette.responses import Response, StreamingResponse

from helix_ray import plain
from helix_ray.blobs.errors import BlobDamaged, BlobError, BlobMissing
from helix_ray.core.errors import Refused, invalid, not_found
from helix_ray.core.model_records import FileRef
from helix_ray.core.models import MODEL_NAME_PATTERN, reference
from helix_ray.core.orders import (
    ActivateModel,
    DeleteModel,
    DeleteModelVersion,
    PushModel,
    RollBackModel,
    SetCanary,
)
from helix_ray.core.orders.kind import OrderKind
from helix_ray.core.orders.models import VersionData
from helix_ray.core.questions import GetModel, GetModelEvidence, GetModelVersion, ListModels
from helix_ray.core.views.models import VersionView
from helix_ray.wire import models as shapes
from serve_app.answers import json_answer, no_content
from serve_app.bodies import Body, read
from serve_app.deps import Caller, SignedIn
from serve_app.edge.errors import BrokenOff
from serve_app.fetching import fetched
from serve_app.form_files import BINARY, FileRoom, room_for, stored, unavailable, unknown_field
from serve_app.multipart import KIND, MultipartForm
from serve_app.openapi import verb

router = APIRouter(prefix="/models", tags=["models"])

BYTES = "application/octet-stream"
# What a tuner measured is some hundred rows.
EVIDENCE_BYTES_MAX = 4 << 20
_FORM = {
    "title": "PushForm",
    "type": "object",
    "required": ["name"],
    "oneOf": [{"required": ["file"]}, {"required": ["url"]}],
    "properties": {
        "name": {"type": "string", "pattern": MODEL_NAME_PATTERN},
        "file": BINARY,
        "url": {"type": "string", "format": "uri"},
        "calibration": BINARY,
        "heldout": BINARY,
        "project_id": {"type": "string"},
        "metadata": {"type": "string"},
        "activate": {"type": "string", "enum": ["true", "false"]},
    },
}
_AT_ONCE = shapes.VersionQuery()
_PUSH = verb("PushModel", answers=shapes.PushedOut, status=201)
_PUSH["responses"][200] = {"model": shapes.PushedOut}
_PUSH["openapi_extra"]["requestBody"] = {"required": True, "content": {KIND: {"schema": _FORM}}}
_DOWNLOAD = verb("GetModelVersion")
_DOWNLOAD["responses"] = {200: {"content": {BYTES: {"schema": BINARY}}}}


@dataclass
class _Sent:
    """What came in a form."""

    fields: dict[str, str] = field(default_factory=dict)
    files: dict[str, FileRef] = field(default_factory=dict)


@router.post("", **_PUSH)
async def push_model(caller: SignedIn) -> Response:
    """Push a version of a model: its ONNX file, and optionally data to calibrate and to judge variants with.

    The same files pushed again are the same version. It is examined by the task `examination`.
    """
    form = MultipartForm(caller.request)
    try:
        sent = await _received(form, caller)
        body = Body(_values(sent))
        push = body.validated(shapes.PUSH, "model")
    except Refused:
        await form.drain()
        raise
    files = sent.files
    order = PushModel(
        name=push["name"], file=files["file"], calibration=files.get("calibration"),
        heldout=files.get("heldout"), project_id=push.get("project_id"), metadata=shapes.metadata_of(push),
        activate=push.get("activate") or False,
    )  # fmt: skip
    receipt = await caller.execute(order, Body({**_values(sent), "files": {**files}}))
    file = files["file"]
    answer = {**receipt.data, "sha256": file["digest"], "bytes": file["bytes"]}
    return json_answer(answer, 201 if receipt.data["created"] else 200, receipt)


async def _received(form: MultipartForm, caller: Caller) -> _Sent:
    """Read the form to its end; files go to the store."""
    sent = _Sent()
    while (part := await form.next_part()) is not None:
        name = part.name
        if name in sent.fields or name in sent.files:
            raise Refused(invalid(f"The field {name} is given more than once", field=name))
        if name in shapes.FORM_FILES:
            room = await _room(name, sent, caller)
            sent.files[name] = await stored(form.data(), name, room, caller.services.blobs)
        elif name in shapes.FORM_FIELDS:
            sent.fields[name] = await form.text(name, shapes.FIELD_BYTES_MAX)
        else:
            allowed = [*shapes.FORM_FIELDS, *shapes.FORM_FILES]
            raise Refused(unknown_field(name, allowed))
    url = sent.fields.pop("url", None)
    if (url is None) == ("file" not in sent.files):
        raise Refused(invalid("A push must have either a file or a url", field="file"))
    if url is not None:
        sent.files["file"] = await _by_url(url, sent, caller)
    return sent


async def _room(name: str, sent: _Sent, caller: Caller) -> FileRoom:
    """Return the room for a file, as far as the fields before it say where the model belongs."""
    settings = caller.services.settings
    bytes_max = settings.model_bytes_max if name == "file" else settings.model_data_bytes_max
    project = sent.fields.get("project_id")
    if project is None and "name" in sent.fields:
        with suppress(Refused):
            project = (await caller.query(GetModel(sent.fields["name"])))["project_id"]
    return await room_for(name, bytes_max, project, caller)


async def _by_url(url: str, sent: _Sent, caller: Caller) -> FileRef:
    """Fetch the file of a model into the store."""
    settings = caller.services.settings
    pieces = fetched(url, settings.hosts_of_models(), settings.model_url_s_max)
    async with aclosing(pieces):
        return await stored(pieces, "file", await _room("file", sent, caller), caller.services.blobs)


def _values(sent: _Sent) -> Mapping[str, object]:
    """Return the fields of a form as the JSON values that they stand for."""
    values: dict[str, object] = dict(sent.fields)
    if "metadata" in values:
        try:
            values["metadata"] = plain.read(sent.fields["metadata"].encode())
        except ValueError as error:
            why = str(error) if isinstance(error, plain.NameRepeated) else "not valid JSON"
            raise Refused(invalid(f"Invalid model metadata: {why}", field="metadata")) from None
    if "activate" in values:
        if values["activate"] not in ("true", "false"):
            details = {"field": "activate", "allowed_values": ["true", "false"]}
            raise Refused(invalid("Invalid model activate", **details))
        values["activate"] = values["activate"] == "true"
    return values


def _number(name: str, version: str) -> int:
    """Return the number of a version in a path; what is none does not exist."""
    if version.isascii() and version.isdecimal() and len(version) <= len(str(shapes.VERSION_MAX)):
        return int(version)
    raise Refused(not_found("Model version", f"{name}@{version}"))


@router.get("", **verb("ListModels", answers=shapes.ModelsOut))
async def list_models(caller: SignedIn) -> Response:
    """List the models that the caller may use."""
    answer = await caller.query(ListModels())
    return json_answer({"models": [shapes.model_out(model) for model in answer["models"]]})


@router.get("/{name}", **verb("GetModel", answers=shapes.ModelOut))
async def get_model(name: str, caller: SignedIn) -> Response:
    """Return one model with its versions."""
    return json_answer(shapes.model_out(await caller.query(GetModel(name))))


@router.get("/{name}/versions/{version}", **verb("GetModelVersion", answers=shapes.VersionOut))
async def get_version(
    name: str, version: str, caller: SignedIn, query: Annotated[shapes.VersionQuery, Query()] = _AT_ONCE
) -> Response:
    """Return one version: its state, its inputs and outputs, its variants and what the gate measured.

    With `wait_s` the answer comes when it has been examined; with a `mark` too, when anything has changed.
    """
    found = await caller.query(GetModelVersion(name, _number(name, version), query.mark), query.wait_s)
    if query.wait_s:
        await caller.renew()
    return json_answer(shapes.version_out(found))


@router.get("/{name}/versions/{version}/file", **_DOWNLOAD)
async def download(
    name: str,
    version: str,
    caller: SignedIn,
    variant: Annotated[
        str | None, Query(max_length=64, description="The variant; by default the file as it was pushed.")
    ] = None,
) -> Response:
    """Return the file of a version as it was pushed, or that of a variant."""
    found = await caller.query(GetModelVersion(name, _number(name, version)))
    file = _file_of(found, variant)
    try:
        pieces = await caller.services.blobs.open(file["digest"])
    except BlobMissing:
        raise Refused(unavailable("The file of this version is not in the store at the moment")) from None
    shown = f"{name}-{version}{'-' + variant if variant else ''}.onnx"
    headers = {
        "Content-Length": str(file["bytes"]),
        "Content-Disposition": f'attachment; filename="{shown}"',
        "X-Helix-SHA256": file["digest"],
    }
    return StreamingResponse(_sound(pieces), media_type=BYTES, headers=headers)


async def _sound(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield the pieces of a file; a damaged one breaks the connection before its last piece."""
    try:
        async for piece in pieces:
            yield piece
    except BlobDamaged:
        raise BrokenOff from None


def _file_of(view: VersionView, variant: str | None) -> FileRef:
    if view["state"] == "deleted":
        raise Refused(not_found("Model version", reference(view["name"], view["version"])))
    if variant is None:
        return {"digest": view["sha256"], "bytes": view["bytes"]}
    for each in view["variants"]:
        if each["name"] == variant and each["digest"] is not None:
            return {"digest": each["digest"], "bytes": each["bytes"]}
    names = [each["name"] for each in view["variants"] if each["digest"] is not None]
    raise Refused(invalid("This version has no such variant", field="variant", allowed_values=names))


@router.delete("/{name}/versions/{version}", **verb("DeleteModelVersion", status=204))
async def delete_version(name: str, version: str, caller: SignedIn) -> Response:
    """Delete a version that is not active, no canary, and not used by unfinished tasks."""
    return no_content(await caller.execute(DeleteModelVersion(name, _number(name, version))))


@router.delete("/{name}", **verb("DeleteModel", status=204))
async def delete_model(name: str, caller: SignedIn) -> Response:
    """Delete a model with all its versions, unless unfinished tasks use one."""
    return no_content(await caller.execute(DeleteModel(name)))


@router.post("/{name}/activate", **verb("ActivateModel", body=shapes.ActivateIn, answers=shapes.ModelOut))
async def activate(name: str, caller: SignedIn) -> Response:
    """Make a ready version active: tasks submitted from then on get it where they name only the model."""
    sent = await read(caller.request)
    version = sent.validated(shapes.ACTIVATE, "model")["version"]
    return await _changed(name, ActivateModel(name, version), caller, sent)


@router.post("/{name}/rollback", **verb("RollBackModel", answers=shapes.ModelOut))
async def roll_back(name: str, caller: SignedIn) -> Response:
    """Make the version active again that was active before."""
    return await _changed(name, RollBackModel(name), caller)


@router.post("/{name}/canary", **verb("SetCanary", body=shapes.CanaryIn, answers=shapes.ModelOut))
async def set_canary(name: str, caller: SignedIn) -> Response:
    """Give a version a percentage of the tasks that name only the model; 0 ends that."""
    sent = await read(caller.request)
    canary = sent.validated(shapes.CANARY, "model")
    return await _changed(name, SetCanary(name, canary["version"], float(canary["percent"])), caller, sent)


async def _changed(
    name: str, body: OrderKind[VersionData], caller: Caller, sent: Body | None = None
) -> Response:
    """Carry out an order and answer with the changed model."""
    receipt = await caller.execute(body, sent)
    return json_answer(shapes.model_out(await caller.query(GetModel(name))), 200, receipt)


@router.get("/{name}/evidence", **verb("GetModelEvidence", answers=shapes.EvidenceOut))
async def get_evidence(
    name: str,
    caller: SignedIn,
    version: Annotated[
        int | None, Query(ge=1, le=shapes.VERSION_MAX, description="The only version to describe.")
    ] = None,
) -> Response:
    """Return what the gate and the tuner measured, of all versions or of one."""
    evidence = shapes.evidence_out(await caller.query(GetModelEvidence(name, version)))
    for each in evidence["versions"]:
        for tuning in each["tunings"]:
            tuning["rows"] = await _rows(tuning, caller)
    return json_answer(evidence)


async def _rows(tuning: shapes.TuningOut, caller: Caller) -> list[shapes.ObjectJson]:
    """Return what a tuner measured; nothing where the file is not in the store."""
    file = tuning["evidence"]
    if file is None or file["bytes"] > EVIDENCE_BYTES_MAX:
        return []
    try:
        pieces = await caller.services.blobs.open(file["digest"])
        raw = b"".join([piece async for piece in pieces])
        rows = orjson.loads(raw).get("rows")
    except (BlobError, ValueError, AttributeError):
        return []
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
