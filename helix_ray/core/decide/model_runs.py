"""Which version of a model a task gets: decided once, when it is submitted.

digits      the active version, or a canary: by the id of the task, so that a resent order gets the same
digits@3    this version
a name that the registry does not have, or not for the caller: a model of the nodes' own folder, which a
node must have
"""

from __future__ import annotations

from difflib import get_close_matches
from itertools import islice

from helix_ray.core.decide.outcome import Context
from helix_ray.core.decide.unfit_runs import refuse_unfit
from helix_ray.core.errors import Rejected, invalid
from helix_ray.core.folder_models import folder_models, may_be_in_folder
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
NEAR_MAX = 3
# A comparison takes some ten microseconds: so many names are compared, for so many runs of an order.
COMPARED_MAX = 200
HINTS_MAX = 5


class ModelRuns:
    """Refuses the runs of one order that cannot have the model, the precision, the outputs or the inputs that
    they name."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._hints_left = HINTS_MAX

    def refusal(self, run: Run, task_id: str, *, sharded: bool) -> Rejected | None:
        """Return why a run is refused; None where a node may run it, or where it runs no model."""
        if run["kind"] != "inference":
            return None
        name, number = split_reference(run["model"])
        model = _seen(name, self._ctx)
        if model is None:
            return self._unknown(run["model"], name)
        if "@" not in run["model"]:
            number = model.chosen_for(task_id)
            if number is None:
                message = f"{name} has no active version: activate one, or name a version"
                return invalid(message, field=FIELD)
        elif (refusal := _refuse_version(model, number, run["model"])) is not None:
            return refusal
        version = model.ready(number)
        return None if version is None else refuse_unfit(run, model, version, sharded=sharded)

    def _unknown(self, named: str, name: str) -> Rejected | None:
        """Refuse a name that nothing has which the caller may know of."""
        if named == name and may_be_in_folder(self._ctx.state, name):
            return None
        near = self._near(name)
        what = "Unknown model version" if "@" in named else "Unknown model"
        hint = f": did you mean {' or '.join(near)}?" if near else ""
        return invalid(f"{what} {named}{hint}", field=FIELD, near=near)

    def _near(self, name: str) -> list[str]:
        if self._hints_left == 0:
            return []
        self._hints_left -= 1
        state, by = self._ctx.state, self._ctx.order.by
        pushed = (each.id for each in state.models.values() if sees_model(state, by, each))
        known = sorted({*islice(pushed, COMPARED_MAX), *folder_models(state)} - {name})
        return get_close_matches(name, known[:COMPARED_MAX], NEAR_MAX)


def _refuse_version(model: ModelRecord, number: int | None, named: str) -> Rejected | None:
    version = model.versions.get(number or 0)
    if version is None or reference(model.id, version.number) != named:
        ready = [
            reference(model.id, each) for each in sorted(model.versions, reverse=True) if model.ready(each)
        ]
        near = ready[:NEAR_MAX]
        hint = f": {model.id} has {', '.join(near)}" if near else ""
        return invalid(f"Unknown model version {named}{hint}", field=FIELD, near=near)
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
