"""What `helix node-resources` says of the runtime of models: which it is, its class, and what it lacks."""

from __future__ import annotations

from collections.abc import Sequence

from helix_ray.inference.node_class import node_class
from helix_ray.inference.runtime import Runtime, runtime_problem


def lines(gpus: Sequence[str], runtime: Runtime | None) -> list[str]:
    """Return one line about the runtime of a machine with these NVIDIA GPUs, and one about what is wrong."""
    problem = runtime_problem(gpus, runtime)
    said = []
    if runtime is not None:
        providers = ", ".join(name.removesuffix("ExecutionProvider") for name in runtime.providers)
        name = node_class(gpus=gpus, runtime=runtime).name
        said.append(f"models run with: {runtime.distribution} {runtime.version} ({providers}), class {name}")
    return [*said, f"missing: {problem}"] if problem else said
