"""Data sets: files of rows that inferences read, uploaded once and named by their digest."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from helix_ray.core.errors import Refused, invalid
from helix_ray.core.model_records import FileRef
from helix_ray.wire.datasets import DatasetOut
from serve_app.answers import json_answer
from serve_app.deps import Caller, SignedIn
from serve_app.form_files import BINARY, stored, unknown_field
from serve_app.multipart import KIND, MultipartForm
from serve_app.openapi import verb

router = APIRouter(prefix="/datasets", tags=["models"])

FIELD = "file"
_FORM = {"type": "object", "required": [FIELD], "properties": {FIELD: BINARY}}
_UPLOAD = verb("SubmitTasks", answers=DatasetOut, status=201)
_UPLOAD["openapi_extra"]["requestBody"] = {"required": True, "content": {KIND: {"schema": _FORM}}}


@router.post("", **_UPLOAD)
async def upload_dataset(caller: SignedIn) -> Response:
    """Upload a file of rows: its digest is the `dataset` of an inference. The same file again has the same.

    It is kept while it is used, and for HELIX_BLOBS_KEEP_S. Who knows the digest may run inferences on it.
    """
    form = MultipartForm(caller.request)
    try:
        file = await _received(form, caller)
    except Refused:
        await form.drain()
        raise
    return json_answer(file, 201)


async def _received(form: MultipartForm, caller: Caller) -> FileRef:
    """Read the form to its end; the file goes to the store."""
    file: FileRef | None = None
    while (part := await form.next_part()) is not None:
        if part.name != FIELD:
            raise Refused(unknown_field(part.name, [FIELD]))
        if file is not None:
            raise Refused(invalid(f"The field {FIELD} is given more than once", field=FIELD))
        file = await stored(
            form.data(), FIELD, caller.services.settings.dataset_bytes_max, caller.services.blobs
        )
    if file is None:
        raise Refused(invalid("Missing data set file", field=FIELD))
    if not file["bytes"]:
        raise Refused(invalid("The data set file is empty", field=FIELD))
    return file
