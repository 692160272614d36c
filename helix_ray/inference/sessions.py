"""Makes sessions: every option of ONNX Runtime that a model is run with is set here and nowhere else.

A provider is asked for by name. ONNX Runtime itself falls back to the CPU with a warning, or without one;
here that is an error, because what was tuned, measured and promised for one provider does not hold for
another.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helix_ray.inference.errors import BadModelFile, ProviderNotUsed
from helix_ray.inference.providers import CPU, CUDA, PLUGGED, devices_of, provider_options, register_plugins
from helix_ray.inference.threads import usable_threads

if TYPE_CHECKING:
    import onnxruntime

    from helix_ray.inference.cuda_graphs import GraphSession

__all__ = ["SessionPlan", "check_shares", "node_shares", "open_session", "plan_for", "with_graphs"]

PROVIDER_SHARE_MIN = 0.5
"""Smallest part of a model's computing nodes that must run on the provider that was asked for."""

TF32 = "tf32"
"""The variant that is the FP32 file, computed in TF32."""

_BOOKKEEPING = frozenset(
    ("Cast", "Concat", "Constant", "ConstantOfShape", "Expand", "Gather", "Identity", "MemcpyFromHost",
     "MemcpyToHost", "Range", "Reshape", "Shape", "Size", "Slice", "Squeeze", "Unsqueeze")
)  # fmt: skip
"""Operators that mostly compute shapes. Providers leave those to the CPU on purpose."""


@dataclass(frozen=True, slots=True)
class SessionPlan:
    """How a session runs: the provider by name, its threads (those of the CPU), and, with CUDA only, whether
    FP32 may be computed in TF32 and whether runs are recorded as CUDA graphs."""

    provider: str = CPU
    threads: int = 1
    tf32: bool = False
    cuda_graph: bool = False


def plan_for(cpus: float | None = None, provider: str = CPU, variant: str = "fp32") -> SessionPlan:
    """Return the plan of a variant: as many threads as affinity, cgroup quota and `cpus` allow."""
    return SessionPlan(provider, usable_threads(cpus), tf32=variant == TF32)


def open_session(name: str, model: bytes | Path, plan: SessionPlan) -> onnxruntime.InferenceSession:
    """Return a session of a model that is called `name` in messages.

    Raises BadModelFile where the model cannot be loaded, and ProviderNotUsed where the provider is missing
    or its share of the model is less than PROVIDER_SHARE_MIN.
    """
    if plan.cuda_graph:
        plain = _open(name, model, replace(plan, cuda_graph=False), {})
        return with_graphs(plain, name, model, plan)
    return _open(name, model, plan, {})


def with_graphs(
    session: onnxruntime.InferenceSession, name: str, model: bytes | Path, plan: SessionPlan
) -> GraphSession:
    """Return a session that runs as the given one does, of the same model, with CUDA graphs."""
    from helix_ray.inference.cuda_graphs import GraphSession

    return GraphSession(session, partial(_open, name, model, replace(plan, cuda_graph=True)))


def _open(
    name: str, model: bytes | Path, plan: SessionPlan, sizes: Mapping[str, int]
) -> onnxruntime.InferenceSession:
    """Open a session; `sizes` are those of free axes that are fixed, by the names of the axes."""
    import onnxruntime

    options = session_options(plan)
    for axis, size in sizes.items():
        options.add_free_dimension_override_by_name(axis, size)
    plugged = plan.provider in PLUGGED and plan.provider in register_plugins()
    _require(name, plan.provider, plugged)
    chosen = provider_options(plan.provider, plan.threads, tf32=plan.tf32, cuda_graph=plan.cuda_graph)
    ways: dict[str, Any] = {}
    if plugged:
        options.add_provider_for_devices(devices_of(plan.provider)[:1], chosen)
    else:
        ways["providers"] = [(plan.provider, chosen), *([] if plan.provider == CPU else [CPU])]
    if plan.provider == CUDA and hasattr(onnxruntime, "preload_dlls"):
        onnxruntime.preload_dlls()  # CUDA and cuDNN may be wheels, which the loader does not search
        onnxruntime.set_default_logger_severity(4)  # it calls each kernel that cuDNN has not an error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what it warns of is checked below
            session = onnxruntime.InferenceSession(
                str(model) if isinstance(model, Path) else model, options, **ways
            )
    except Exception as error:  # ONNX Runtime's exceptions have no common base
        raise BadModelFile(f"model {name!r} cannot be loaded: {error}") from error
    if plan.provider != CPU:
        check_shares(name, plan.provider, session.get_providers(), _nodes_by_provider(session))
    return session


def session_options(plan: SessionPlan) -> onnxruntime.SessionOptions:
    """Return the options of a plan; threads do not spin, since other work shares the node
    (session.intra_op.allow_spinning: that costs 1 % of speed and saves a quarter of the CPU time)."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = plan.threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 4  # fatal: what goes wrong is raised
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    if plan.provider != CPU:
        options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    return options


def node_shares(session: onnxruntime.InferenceSession) -> dict[str, float]:
    """Return the part of the model's nodes that each provider runs, largest first: {"CPUExecutionProvider":
    1.0}."""
    if session.get_providers() == [CPU]:
        return {CPU: 1.0}
    return _shares({provider: sum(nodes.values()) for provider, nodes in _nodes_by_provider(session).items()})


def check_shares(name: str, provider: str, active: list[str], nodes: Mapping[str, Mapping[str, int]]) -> None:
    """Raise ProviderNotUsed where a model does not run on the provider that was asked for.

    `active` are the session's providers; `nodes` counts the model's nodes by provider and operator.
    """
    if provider not in active:
        raise ProviderNotUsed(
            f"model {name!r} was to run on {provider}, which could not be started here; it would run on "
            f"{', '.join(active)}: install what the provider needs, or ask for {CPU}"
        )
    everything = {each: sum(counts.values()) for each, counts in nodes.items()}
    computing = {
        each: sum(count for operator, count in counts.items() if operator not in _BOOKKEEPING)
        for each, counts in nodes.items()
    }
    shares = _shares(computing if sum(computing.values()) else everything)
    if shares.get(provider, 0.0) < PROVIDER_SHARE_MIN:
        spread = ", ".join(f"{each} {share:.0%}" for each, share in _shares(everything).items())
        raise ProviderNotUsed(
            f"model {name!r} was to run on {provider}, which runs {shares.get(provider, 0.0):.0%} of its "
            f"computing nodes, less than {PROVIDER_SHARE_MIN:.0%}; all nodes: {spread or 'unknown'}"
        )


def _require(name: str, provider: str, plugged: bool) -> None:
    import onnxruntime

    reason = register_plugins()[provider] if plugged else None
    if reason is not None:
        raise ProviderNotUsed(f"model {name!r} was to run on {provider}: {reason}")
    available = onnxruntime.get_available_providers()
    if provider not in available:
        raise ProviderNotUsed(
            f"model {name!r} was to run on {provider}, which this runtime does not have; it has "
            f"{', '.join(available)}"
        )
    if plugged and not devices_of(provider):
        raise ProviderNotUsed(
            f"model {name!r} was to run on {provider}, which finds no device on this machine"
        )


def _nodes_by_provider(session: onnxruntime.InferenceSession) -> dict[str, Counter[str]]:
    nodes: dict[str, Counter[str]] = {}
    for part in session.get_provider_graph_assignment_info():
        nodes.setdefault(part.ep_name, Counter()).update(node.op_type for node in part.get_nodes())
    return nodes


def _shares(counts: Mapping[str, int]) -> dict[str, float]:
    total = sum(counts.values())
    ordered = sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    return {provider: count / total for provider, count in ordered} if total else {}
