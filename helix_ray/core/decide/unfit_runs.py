"""Refuses runs that a version of a model can never run, by what its examination found: they would fail on
every node, after they had waited."""

from __future__ import annotations

from helix_ray.core.declared_inputs import declared_of, inputs_breach
from helix_ray.core.errors import Rejected, invalid
from helix_ray.core.model_choice import is_of
from helix_ray.core.models import ModelRecord, ModelVersion, reference
from helix_ray.core.names import first_names
from helix_ray.core.specs import InferenceRun

NO_ROWS = "none"


def refuse_unfit(
    run: InferenceRun, model: ModelRecord, version: ModelVersion, *, sharded: bool
) -> Rejected | None:
    """Return why a version cannot run what a run asks for; None where it may."""
    named = reference(model.id, version.number)
    return (
        _refuse_precision(run, named, version)
        or _refuse_outputs(run, named, version)
        or _refuse_batches(run, named, version, sharded=sharded)
        or _refuse_inputs(run, named, version)
    )


def _refuse_precision(run: InferenceRun, named: str, version: ModelVersion) -> Rejected | None:
    wanted = run.get("precision") or "auto"
    has = [each["name"] for each in version.variants()]
    if any(is_of(name, wanted) for name in has):
        return None
    message = f"{named} has no variant in {wanted} that passed its gate: it has {', '.join(has) or 'none'}"
    return invalid(message, field="run.precision", model=named, variants=has)


def _refuse_outputs(run: InferenceRun, named: str, version: ModelVersion) -> Rejected | None:
    has = [each["name"] for each in version.report["outputs"]] if version.report is not None else []
    wanted = run.get("outputs")
    unknown = [name for name in wanted if name not in has] if isinstance(wanted, list | tuple) else []
    if not has or not unknown:
        return None
    message = f"{named} has no output {first_names(unknown[:1])!r}: its outputs are {first_names(has)}"
    return invalid(message, field="run.outputs", model=named, allowed_values=has)


def _refuse_batches(
    run: InferenceRun, named: str, version: ModelVersion, *, sharded: bool
) -> Rejected | None:
    """Refuse batches of a model whose rows change each other."""
    if version.report is None or version.report["batch"] != NO_ROWS:
        return None
    given = [f"run.{name}" for name in ("batch_size", "dataset", "input_uri") if run.get(name) is not None]
    given += ["shards"] if sharded else []
    if not given:
        return None
    message = f"The rows of {named} change each other, so it cannot be run in batches: leave out {given[0]}"
    return invalid(message, field=given[0], model=named)


def _refuse_inputs(run: InferenceRun, named: str, version: ModelVersion) -> Rejected | None:
    declared = declared_of(version.report["inputs"]) if version.report is not None else []
    if not declared or run.get("inputs") is None:
        return None
    why = inputs_breach(run["inputs"], declared)
    if why is None:
        return None
    return invalid(f"The inputs do not fit {named}: {why}", field="run.inputs", model=named)
