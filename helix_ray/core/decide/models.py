"""Orders of people about models: push, activate, roll back, canaries, delete.

Tasks get their version when they are submitted (decide/model_runs.py), so nothing here changes a task that
is on its way. What unfinished tasks use cannot be deleted.
"""

from __future__ import annotations

from math import isfinite

from helix_ray.core.decide.datasets import refuse_storing
from helix_ray.core.decide.endings import Endings
from helix_ray.core.decide.model_tasks import examination, no_room
from helix_ray.core.decide.outcome import Context, Decider, Decision
from helix_ray.core.errors import Rejected, conflict, forbidden, invalid, not_found
from helix_ray.core.events import (
    Event,
    ModelActivated,
    ModelActivationAsked,
    ModelCanarySet,
    ModelDeleted,
    ModelRolledBack,
    ModelVersionDeleted,
    ModelVersionPushed,
    TaskSubmitted,
)
from helix_ray.core.membership import changes_model, refuse_use_within, sees_model
from helix_ray.core.model_records import FileRef, ModelMetadata
from helix_ray.core.model_reports import file_of
from helix_ray.core.models import (
    BOUNDS,
    LICENCE_CHARS_MAX,
    MODEL_NAME_PATTERN,
    MODEL_NAMES_MAX,
    SOURCE_CHARS_MAX,
    VERSIONS_MAX,
    ModelRecord,
    ModelVersion,
    is_model_name,
    reference,
)
from helix_ray.core.orders import (
    ActivateModel,
    DeleteModel,
    DeleteModelVersion,
    PushModel,
    RollBackModel,
    SetCanary,
)
from helix_ray.core.orders.models import ModelData, PushedData, VersionData
from helix_ray.core.spec_shape import LABEL_CHARS_MAX, LABELS_MAX, WORD_CHARS_MAX

PERCENT_MAX = 100.0


def push(body: PushModel, ctx: Context) -> Decision[PushedData] | Rejected:
    """Add a version and submit its examination; the same files again are the same version."""
    refusal = _check_push(body) or refuse_use_within(ctx.state, ctx.order.by, body.project_id)
    if refusal is not None:
        return refusal
    model = ctx.state.models.get(body.name)
    if model is not None and not model.deleted:
        refusal = _check_push_to(model, body, ctx)
        if refusal is not None:
            return refusal
        known = _known(model, body)
        if known is not None:
            return _pushed_again(model, known, body)
    elif len(ctx.state.models) >= MODEL_NAMES_MAX and model is None:
        return conflict("The maximum number of models has been reached", models_max=MODEL_NAMES_MAX)
    return _new_version(body, model, ctx)


def _new_version(body: PushModel, model: ModelRecord | None, ctx: Context) -> Decision[PushedData] | Rejected:
    number, owner = (0 if model is None else model.newest) + 1, ctx.order.by.id
    task_id = f"task-{ctx.order.seed}"
    project = body.project_id if model is None or model.deleted else model.project
    spec = examination(body, number, ctx)
    if project is not None:
        spec["project_id"] = project
    # What a model has counts for its project, else for whoever pushed it first.
    place = project or (owner if model is None or model.deleted else model.owner)
    files = [file for file in (body.file, body.calibration, body.heldout) if file is not None]
    if (refusal := refuse_storing(files, place, ctx) or no_room(spec, owner, ctx)) is not None:
        return refusal
    pushed = ModelVersionPushed(
        body.name, number, owner, project, body.file, task_id, body.calibration, body.heldout,
        body.metadata, body.activate,
    )  # fmt: skip
    data: PushedData = {"name": body.name, "version": number, "created": True, "examination": task_id}
    return Decision([pushed, TaskSubmitted(task_id, owner, spec, [])], data)


def _pushed_again(model: ModelRecord, known: ModelVersion, body: PushModel) -> Decision[PushedData]:
    events: list[Event] = []
    if body.activate and known.state == "ready" and model.active != known.number:
        events.append(ModelActivated(model.id, known.number))
    if body.activate and known.state == "examining" and not known.activate:
        events.append(ModelActivationAsked(model.id, known.number))
    data: PushedData = {
        "name": model.id,
        "version": known.number,
        "created": False,
        "examination": known.examination,
    }
    return Decision(events, data)


def _known(model: ModelRecord, body: PushModel) -> ModelVersion | None:
    versions = reversed(model.versions.values())
    return next((each for each in versions if each.is_same(body.file, body.calibration, body.heldout)), None)


def _check_push(body: PushModel) -> Rejected | None:
    if not is_model_name(body.name):
        message = "Invalid model name: use 1 to 64 of a-z 0-9 _ . - and begin with a letter or a digit"
        return invalid(message, field="name", pattern=MODEL_NAME_PATTERN)
    for name in ("file", "calibration", "heldout"):
        file: FileRef | None = getattr(body, name)
        if (file is not None or name == "file") and file_of(file) != file:
            return invalid(f"Invalid {name}: it must have a digest and bytes", field=name)
    if not body.file["bytes"]:
        return invalid("The model file is empty", field="file")
    return _check_metadata(body.metadata)


def _check_metadata(metadata: ModelMetadata) -> Rejected | None:
    for name, chars_max in (("licence", LICENCE_CHARS_MAX), ("source", SOURCE_CHARS_MAX)):
        text = metadata.get(name, "")
        if not isinstance(text, str) or len(text) > chars_max or not text.isprintable():
            return invalid(f"Invalid {name} of the model", field=f"metadata.{name}", chars_max=chars_max)
    labels = metadata.get("labels", {})
    if not isinstance(labels, dict) or len(labels) > LABELS_MAX:
        return invalid("Invalid labels of the model", field="metadata.labels", labels_max=LABELS_MAX)
    for label, value in labels.items():
        if len(str(label)) > WORD_CHARS_MAX or not isinstance(value, str) or len(value) > LABEL_CHARS_MAX:
            return invalid("Invalid label of the model", field="metadata.labels", chars_max=LABEL_CHARS_MAX)
    bounds = metadata.get("bounds", {})
    known = {"licence", "source", "labels", "bounds"}
    if unknown := sorted({*metadata} - known):
        return invalid("Unknown metadata of the model", field="metadata", unknown=unknown)
    if not isinstance(bounds, dict) or not {*bounds} <= {*BOUNDS}:
        return invalid("Unknown bounds", field="metadata.bounds", allowed_values=list(BOUNDS))
    for name, bound in bounds.items():
        if not isinstance(bound, int | float) or isinstance(bound, bool) or not 0 <= bound <= 1:
            return invalid(
                "A bound must be from 0 to 1", field=f"metadata.bounds.{name}", minimum=0, maximum=1
            )
    return None


def _check_push_to(model: ModelRecord, body: PushModel, ctx: Context) -> Rejected | None:
    """Refuse a further version of somebody else's model, or one for another project."""
    by = ctx.order.by
    if not sees_model(ctx.state, by, model):
        return conflict("This model name is taken by somebody else: use another one", field="name")
    if not changes_model(ctx.state, by, model):
        return forbidden("You can use this model but cannot change it", id=model.id)
    if body.project_id is not None and body.project_id != model.project:
        message = "All versions of a model have one project: leave project_id out, or use another name"
        return conflict(message, field="project_id", project_id=model.project)
    alive = sum(each.state != "deleted" for each in model.versions.values())
    if alive >= VERSIONS_MAX:
        return conflict("The model has too many versions: delete some", versions_max=VERSIONS_MAX)
    return None


def activate(body: ActivateModel, ctx: Context) -> Decision[VersionData] | Rejected:
    """Make a version active; tasks submitted from here on get it, those before keep theirs."""
    found = _usable(body.name, body.version, ctx)
    if isinstance(found, Rejected):
        return found
    same = found.active == body.version
    return Decision([] if same else [ModelActivated(found.id, body.version)], _of(found, body.version))


def roll_back(body: RollBackModel, ctx: Context) -> Decision[VersionData] | Rejected:
    """Make the version active that was active before; again, the one before that."""
    model = _changeable(body.name, ctx)
    if isinstance(model, Rejected):
        return model
    version = model.rolls_back_to()
    if version is None:
        return conflict("No version was active before that can still be used", active=model.active)
    return Decision([ModelRolledBack(model.id, version)], _of(model, version))


def set_canary(body: SetCanary, ctx: Context) -> Decision[VersionData] | Rejected:
    """Set the percentage of a version that is not active; 0 takes it away."""
    if not isfinite(body.percent) or not 0 <= body.percent <= PERCENT_MAX:
        return invalid("Invalid canary percent", field="percent", minimum=0, maximum=PERCENT_MAX)
    found = _usable(body.name, body.version, ctx)
    if isinstance(found, Rejected):
        return found
    if found.active is None or found.active == body.version:
        message = "Only a version beside the active one can be a canary"
        return conflict(message, active=found.active, version=body.version)
    others = sum(percent for number, percent in found.canaries.items() if number != body.version)
    if others + body.percent > PERCENT_MAX:
        message = "The canaries of a model cannot have more than 100 percent"
        return conflict(message, field="percent", others=others, maximum=PERCENT_MAX - others)
    same = found.canaries.get(body.version, 0.0) == body.percent
    events: list[Event] = [] if same else [ModelCanarySet(found.id, body.version, body.percent)]
    return Decision(events, _of(found, body.version))


def delete_version(body: DeleteModelVersion, ctx: Context) -> Decision[VersionData] | Rejected:
    """Delete a version that is not active, no canary, and not used by unfinished tasks."""
    found = _find(body.name, body.version, ctx)
    if isinstance(found, Rejected):
        return found
    model, version = found
    if version.state == "deleted":
        return Decision([], _of(model, version.number))
    if model.active == version.number:
        message = "This version is active: activate another one first, or delete the model"
        return conflict(message, active=model.active)
    if version.number in model.canaries:
        return conflict("This version is a canary: set its percent to 0 first", canary=version.number)
    refusal = _in_use(model, [version], ctx)
    if refusal is not None:
        return refusal
    events = [ModelVersionDeleted(model.id, version.number), *_without_tasks([version], ctx)]
    return Decision(events, _of(model, version.number))


def delete(body: DeleteModel, ctx: Context) -> Decision[ModelData] | Rejected:
    """Delete a model with all its versions, unless unfinished tasks use one."""
    model = _changeable(body.name, ctx)
    if isinstance(model, Rejected):
        return model
    versions = [each for each in model.versions.values() if each.state != "deleted"]
    refusal = _in_use(model, versions, ctx)
    if refusal is not None:
        return refusal
    return Decision([ModelDeleted(model.id), *_without_tasks(versions, ctx)], {"name": model.id})


def _in_use(model: ModelRecord, versions: list[ModelVersion], ctx: Context) -> Rejected | None:
    names = [reference(model.id, each.number) for each in versions]
    used = {name: ctx.state.model_uses[name] for name in names if name in ctx.state.model_uses}
    if not used:
        return None
    message = f"Unfinished tasks use {', '.join(used)}: wait for them, or cancel them"
    return conflict(message, unfinished_tasks=sum(used.values()), versions=list(used))


def _without_tasks(versions: list[ModelVersion], ctx: Context) -> list[Event]:
    """Cancel the examinations and tunings of versions that go."""
    endings = Endings(ctx.state, ctx.now, ctx.policy.spread_tasks_max)
    for version in versions:
        for task_id in (version.examination, *(each["task"] for each in version.tunings.values())):
            task = ctx.state.tasks.get(task_id)
            if task is not None and not endings.over(task):
                endings.cancel(task, "its model version was deleted")
    return endings.events


def _usable(name: str, number: int, ctx: Context) -> ModelRecord | Rejected:
    """Return a model whose version is ready."""
    found = _find(name, number, ctx)
    if isinstance(found, Rejected):
        return found
    model, version = found
    if version.state == "ready":
        return model
    return conflict(
        f"{reference(name, number)} is {version.state}, and only a ready version can be used",
        state=version.state,
        reason=version.reason,
        examination=version.examination,
    )


def _find(name: str, number: int, ctx: Context) -> tuple[ModelRecord, ModelVersion] | Rejected:
    model = _changeable(name, ctx)
    if isinstance(model, Rejected):
        return model
    version = model.versions.get(number)
    return not_found("Model version", reference(name, number)) if version is None else (model, version)


def _changeable(name: str, ctx: Context) -> ModelRecord | Rejected:
    model = ctx.state.models.get(name)
    if model is None or not sees_model(ctx.state, ctx.order.by, model):
        return not_found("Model", name)
    if changes_model(ctx.state, ctx.order.by, model):
        return model
    return forbidden("You can use this model but cannot change it", id=name)


def _of(model: ModelRecord, version: int) -> VersionData:
    return {"name": model.id, "version": version}


MODEL_ORDERS: dict[type, Decider] = {
    PushModel: push,
    ActivateModel: activate,
    RollBackModel: roll_back,
    SetCanary: set_canary,
    DeleteModelVersion: delete_version,
    DeleteModel: delete,
}
