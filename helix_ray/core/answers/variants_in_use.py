"""The variants that published models run in, by what was measured for the nodes that are there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from helix_ray.core.access import Principal
from helix_ray.core.answers.optimizations import FP32, VariantInUse
from helix_ray.core.cpu_arithmetic import cpu_arithmetic
from helix_ray.core.membership import sees_model
from helix_ray.core.model_choice import CPU, automatic
from helix_ray.core.model_records import ChoiceRecord
from helix_ray.core.models import NODE_CLASS_LABEL, ModelVersion, reference
from helix_ray.core.state import State, Worker

UPLOADED = "fp32"


def variants_in_use(state: State, nodes: Sequence[Worker], by: Principal) -> list[VariantInUse]:
    """Return the variants in which these nodes run the active versions and canaries that the caller may see.

    Models of the package and of HELIX_MODELS_DIR are not published: they run as they are.
    """
    classes = sorted({node.labels.get(NODE_CLASS_LABEL, "") for node in nodes})
    found = {
        each
        for model in state.models.values()
        if sees_model(state, by, model)
        for number in model.used()
        if (version := model.ready(number)) is not None
        for node_class in classes
        for each in _of_class(reference(model.id, number), version, node_class)
    }
    return sorted(found, key=lambda each: (each.model, each.variant, each.provider))


def _of_class(name: str, version: ModelVersion, node_class: str) -> Iterator[VariantInUse]:
    """Give what a class of nodes runs a version in: the fastest choice of each batch, else the upload."""
    tuning = version.tunings.get(node_class)
    usable = {variant["name"]: variant for variant in version.variants()}
    measured = automatic(tuning["choices"]) if tuning else []
    choices = [choice for choice in measured if choice["variant"] in usable]
    if not choices:
        yield VariantInUse(name, UPLOADED, FP32)
    for batch in sorted({choice["batch"] for choice in choices}):
        chosen = max((choice for choice in choices if choice["batch"] == batch), key=_speed)
        arithmetic = usable[chosen["variant"]]["arithmetic"]
        if tuning is not None and chosen["provider"] == CPU:
            flags = tuning["machine"].get("flags")
            arithmetic = cpu_arithmetic(chosen["variant"], flags if isinstance(flags, list) else ())
        yield VariantInUse(name, chosen["variant"], arithmetic, chosen["provider"])


def _speed(choice: ChoiceRecord) -> tuple[float, float]:
    return choice.get("items_per_s", 0.0), choice["ratio"]
