"""Which version of a model a task gets: decided once, when it is submitted.

digits      the active version, or a canary: by the id of the task, so that a resent order gets the same
digits@3    this version
a name that the registry does not have, or not for the caller: a model of the nodes' own folder
"""

from __future__ import annotations

from helix_ray.core.decide.outcome import Context
from helix_ray.core.errors import Rejected, invalid
from helix_ray.core.membership import sees_model
from helix_ray.core.models import (
    ModelRecord,
    reference,
    split_reference,
    used_reference,
    with_version,
)
from helix_ray.core.specs import Run, TaskSpec

FIELD = "run.model"


def refuse_model(run: Run, ctx: Context) -> Rejected | None:
    """Return why a run cannot have the model that it names; None when it can, or when it names none."""
    if run["kind"] != "inference":
        return None
    name, number = split_reference(run["model"])
    model = _seen(name, ctx)
    if model is None:
        pinned = "@" in run["model"]
        return invalid(f"Unknown model version {run['model']}", field=FIELD) if pinned else None
    if "@" not in run["model"]:
        if model.active is not None:
            return None
        message = f"{name} has no active version: activate one, or name a version"
        return invalid(message, field=FIELD)
    return _refuse_version(model, number, run["model"])


def _refuse_version(model: ModelRecord, number: int | None, named: str) -> Rejected | None:
    version = model.versions.get(number or 0)
    if version is None or reference(model.id, version.number) != named:
        return invalid(f"Unknown model version {named}", field=FIELD)
    if version.state == "ready":
        return None
    message = (
        f"{named} is {version.state}: {version.reason}" if version.reason else f"{named} is {version.state}"
    )
    return invalid(message, field=FIELD, state=version.state, examination=version.examination)


def with_model(spec: TaskSpec, task_id: str, ctx: Context) -> TaskSpec:
    """Return the spec of a task that was accepted, with the version that it gets."""
    run = spec.get("run")
    if run is None or run["kind"] != "inference" or "@" in run["model"]:
        return spec
    model = _seen(run["model"], ctx)
    number = model.chosen_for(task_id) if model is not None else None
    if model is None or number is None:
        return spec
    return {**spec, "run": with_version(run, model.id, number)}


def refuse_gone(run: Run | None, ctx: Context) -> Rejected | None:
    """Return why a run cannot be done again: its version is not there any more."""
    named = used_reference(run)
    if named is None:
        return None
    name, number = split_reference(named)
    model = ctx.state.models.get(name)
    if model is not None and model.ready(number) is not None:
        return None
    return invalid(f"{named} was deleted: submit the task again with another version", field=FIELD)


def _seen(name: str, ctx: Context) -> ModelRecord | None:
    model = ctx.state.models.get(name)
    return model if model is not None and sees_model(ctx.state, ctx.order.by, model) else None
