"""Data sets: files of rows that inferences read, uploaded once and named by their digest."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from helix_ray.core.errors import Refused, invalid
from helix_ray.core.model_records import FileRef
from helix_ray.core.orders import DeleteDataset, UploadDataset
from helix_ray.core.questions import GetDataset, ListDatasets
from helix_ray.wire import datasets as shapes
from serve_app.answers import json_answer, no_content
from serve_app.bodies import Body
from serve_app.deps import Caller, SignedIn
from serve_app.form_files import BINARY, room_for, stored, unknown_field
from serve_app.multipart import KIND, MultipartForm
from serve_app.openapi import verb

router = APIRouter(prefix="/datasets", tags=["models"])

FIELD, PROJECT = "file", "project_id"
FIELD_BYTES_MAX = 4_096
_FORM = {
    "title": "UploadForm",
    "type": "object",
    "required": [FIELD],
    "properties": {PROJECT: {"type": "string"}, FIELD: BINARY},
}
_UPLOAD = verb("UploadDataset", answers=shapes.DatasetOut, status=201)
_UPLOAD["openapi_extra"]["requestBody"] = {"required": True, "content": {KIND: {"schema": _FORM}}}


@router.post("", **_UPLOAD)
async def upload_dataset(caller: SignedIn) -> Response:
    """Upload a file of rows: its digest is the `dataset` of an inference. The same file again has the same.

    It belongs to its uploader, and to the members of a project that comes before it in the form. It is kept
    while it is used, and for HELIX_BLOBS_KEEP_S.
    """
    form = MultipartForm(caller.request)
    try:
        file, fields = await _received(form, caller)
    except Refused:
        await form.drain()
        raise
    order = UploadDataset(file["digest"], file["bytes"], fields.get(PROJECT))
    receipt = await caller.execute(order, Body({**fields, **file}))
    return json_answer(receipt.data, 201, receipt)


async def _received(form: MultipartForm, caller: Caller) -> tuple[FileRef, dict[str, str]]:
    """Read the form to its end; the file goes to the store."""
    file: FileRef | None = None
    fields: dict[str, str] = {}
    while (part := await form.next_part()) is not None:
        if part.name not in (FIELD, PROJECT):
            raise Refused(unknown_field(part.name, [FIELD, PROJECT]))
        if part.name in fields or (part.name == FIELD and file is not None):
            raise Refused(invalid(f"The field {part.name} is given more than once", field=part.name))
        if part.name == FIELD:
            settings = caller.services.settings
            room = await room_for(FIELD, settings.dataset_bytes_max, fields.get(PROJECT), caller)
            file = await stored(form.data(), FIELD, room, caller.services.blobs)
        elif file is not None:
            # Only a project that is known before the file can say how much of it may be stored.
            raise Refused(invalid("The field project_id must come before the file", field=PROJECT))
        else:
            text = await form.text(PROJECT, FIELD_BYTES_MAX)
            fields[PROJECT] = Body({PROJECT: text}).validated(shapes.UPLOAD, "data set")["project_id"]
    if file is None:
        raise Refused(invalid("Missing data set file", field=FIELD))
    if not file["bytes"]:
        raise Refused(invalid("The data set file is empty", field=FIELD))
    return file, fields


@router.get("", **verb("ListDatasets", answers=shapes.DatasetsOut))
async def list_datasets(caller: SignedIn) -> Response:
    """List the data sets that the caller may use, the last uploaded first."""
    answer = await caller.query(ListDatasets())
    return json_answer({"datasets": [shapes.uploaded_out(each) for each in answer["datasets"]]})


@router.get("/{digest}", **verb("GetDataset", answers=shapes.UploadedOut))
async def get_dataset(digest: str, caller: SignedIn) -> Response:
    """Return a data set with its bytes, and those uploads of it that the caller may know of."""
    return json_answer(shapes.uploaded_out(await caller.query(GetDataset(digest))))


@router.delete("/{digest}", **verb("DeleteDataset", status=204))
async def delete_dataset(digest: str, caller: SignedIn) -> Response:
    """Delete what the caller has uploaded of a file; for administrators, all of it.

    Tasks that name it keep the file until they have ended.
    """
    return no_content(await caller.execute(DeleteDataset(digest)))
