"""Orders about data sets, and refusals of what would store more than a project may."""

from __future__ import annotations

from collections.abc import Iterable

from helix_ray.core.decide.outcome import Context, Decider, Decision
from helix_ray.core.digests import is_digest
from helix_ray.core.errors import Rejected, conflict, forbidden, invalid, not_found
from helix_ray.core.events import DatasetDeleted, DatasetUploaded, Event
from helix_ray.core.inference_run import dataset_of
from helix_ray.core.membership import refuse_use_within, seen_uploads
from helix_ray.core.model_records import FileRef
from helix_ray.core.orders import DeleteDataset, ForgetDatasets, UploadDataset
from helix_ray.core.orders.datasets import DigestData, UploadedData
from helix_ray.core.orders.kind import NoData
from helix_ray.core.specs import Run
from helix_ray.core.stored import STORED_MB, limit_bytes, stored_bytes, stored_files
from helix_ray.core.visibility import administers


def upload(body: UploadDataset, ctx: Context) -> Decision[UploadedData] | Rejected:
    """Note an upload; the same by the same user for the same project is only used again."""
    if not is_digest(body.digest) or type(body.bytes) is not int or body.bytes <= 0:
        return invalid("Invalid data set: it must have a digest and bytes", field="file")
    by = ctx.order.by
    file: FileRef = {"digest": body.digest, "bytes": body.bytes}
    refusal = refuse_use_within(ctx.state, by, body.project_id)
    refusal = refusal or refuse_storing([file], body.project_id or by.id, ctx)
    if refusal is not None:
        return refusal
    data: UploadedData = {**file, "project_id": body.project_id}
    return Decision([DatasetUploaded(body.digest, by.id, body.project_id, body.bytes)], data)


def delete(body: DeleteDataset, ctx: Context) -> Decision[DigestData] | Rejected:
    """Delete the caller's uploads of a file. Tasks that name it keep the file until they have ended."""
    by = ctx.order.by
    seen = seen_uploads(ctx.state, by, body.digest)
    if not seen:
        return not_found("Data set", body.digest)
    mine = [each for each in seen if each.owner == by.id or administers(by)]
    if not mine:
        return forbidden("You can use this data set but cannot delete it", digest=body.digest)
    events: list[Event] = [DatasetDeleted(each.digest, each.owner, each.project) for each in mine]
    return Decision(events, {"digest": body.digest})


def forget(body: ForgetDatasets, ctx: Context) -> Decision[NoData]:
    """Forget the uploads of files that are gone, save those that were uploaded again since."""
    events: list[Event] = [
        DatasetDeleted(each.digest, each.owner, each.project)
        for digest in dict.fromkeys(body.digests)
        for each in ctx.state.datasets.get(digest, ())
        if each.uploaded_at < body.before
    ]
    return Decision(events, {})


def refuse_dataset(run: Run, ctx: Context) -> Rejected | None:
    """Return why a run cannot read the data set that it names; None when it can, or when it names none."""
    digest = dataset_of(run) if run["kind"] == "inference" else None
    if digest is None or seen_uploads(ctx.state, ctx.order.by, digest):
        return None
    field = "run.dataset" if run.get("dataset") is not None else "run.input_uri"
    return invalid("Unknown data set: upload the file first", field=field, dataset=digest)


def refuse_storing(files: Iterable[FileRef], project: str, ctx: Context) -> Rejected | None:
    """Return why a project, or a user's own, cannot have these files as well; None when it can."""
    there = [*stored_files(ctx.state, project)]
    digests = {file["digest"] for _, file in there}
    fresh = {file["digest"]: file["bytes"] for file in files if file["digest"] not in digests}
    limit, stored = limit_bytes(ctx.state, ctx.policy, project), stored_bytes(there).get(project, 0)
    if not fresh or stored + sum(fresh.values()) <= limit:
        return None
    return no_room_for_files(project, stored, limit, sum(fresh.values()))


def no_room_for_files(project: str, stored: int, limit: int, asked: int | None = None) -> Rejected:
    """Return the refusal of files that a project has no room for."""
    details = {"project_id": project, "stored_bytes": stored, "limit_bytes": limit, "quota": STORED_MB}
    if asked is not None:
        details["asked_bytes"] = asked
    message = "The project's models and data sets would take more than it may store: delete some of them"
    return conflict(message, **details)


DATASET_ORDERS: dict[type, Decider] = {
    UploadDataset: upload,
    DeleteDataset: delete,
    ForgetDatasets: forget,
}
