"""Says what models really run with, from the variants that are in use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from helix_ray.core.views.acceleration import OptimizationsView, VariantInUseView

ENABLED, DISABLED = "enabled", "disabled"
FP32, FP16, INT8 = "FP32", "FP16", "INT8"
CPU_PROVIDER = "CPUExecutionProvider"
# How many models an answer lists.
MODELS_LISTED_MAX = 100
NO_PRUNING = "no variant is pruned"


@dataclass(frozen=True, slots=True)
class VariantInUse:
    """A variant that runs now: its name (`fp16-storage`), with what its provider computes it there, and
    whether it has passed its gate."""

    model: str
    variant: str
    arithmetic: str
    provider: str = CPU_PROVIDER
    passed: bool = True


def optimizations_of(in_use: Sequence[VariantInUse]) -> OptimizationsView:
    """Return what models run with: the precision of most variants, FP32 where no model is published.

    `quantization` is enabled only where a quantised variant that has passed its gate is in use.
    """
    views = [_view(each) for each in in_use]
    quantized = any(
        each.passed and view["precision"] == INT8 for each, view in zip(in_use, views, strict=True)
    )
    counts = Counter((view["precision"], view["compute"]) for view in views)
    precision, compute = min(counts, key=lambda pair: (-counts[pair], pair)) if counts else (FP32, FP32)
    return {
        "quantization": ENABLED if quantized else DISABLED,
        "pruning": DISABLED,
        "precision": precision,
        "compute": compute,
        "quantization_reason": None if quantized else _why_not_quantized(in_use),
        "pruning_reason": NO_PRUNING,
        "precision_reason": _why_precision(counts, precision, compute),
        "models": views[:MODELS_LISTED_MAX],
    }


def _view(each: VariantInUse) -> VariantInUseView:
    precision = next((p for p in (INT8, FP16) if each.variant.upper().startswith(p)), each.arithmetic)
    return {"model": each.model, "variant": each.variant, "precision": precision, "compute": each.arithmetic}


def _why_not_quantized(in_use: Sequence[VariantInUse]) -> str:
    if not in_use:
        return "no model is published: models run as they were uploaded"
    return "no quantised variant that has passed its gate is in use"


def _why_precision(counts: Counter[tuple[str, str]], precision: str, compute: str) -> str | None:
    if not counts:
        return "no model is published: models run as they were uploaded"
    total, of = sum(counts.values()), counts[precision, compute]
    said = [] if of == total else [f"{of} of {total} variants in use"]
    said += [] if precision == compute else [f"files are {precision}, arithmetic is {compute}"]
    return "; ".join(said) or None
