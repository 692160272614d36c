"""The resources and labels of this host for `ray start`: those detected and those declared by the user."""

from __future__ import annotations

import json
import re
import socket
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from actors import labels
from helix_ray.core.names import is_node_name
from launcher.node.accelerators import RESOURCE, Accelerator

# Names of resources that were declared but not detected, joined by dots.
DECLARED_LABEL = "helix-declared"
LABEL_CHARACTERS_MAX = 63
_CAPABILITY = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
_RESOURCE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?")
# Ray takes these as flags of their own, so they are not for --resource.
RAY_FLAGS = {
    "CPU": "--num-cpus",
    "GPU": "--num-gpus",
    "memory": "--memory",
    "object_store_memory": "--object-store-memory",
}


class BadDeclaration(ValueError):
    """A declared label or resource is not valid; the message is one line for the user."""


@dataclass(frozen=True, slots=True)
class Declaration:
    """Resources and labels in addition to those that Ray detects."""

    resources: dict[str, float]
    labels: dict[str, str]
    found: tuple[Accelerator, ...]
    declared: tuple[str, ...]

    def flags(self) -> list[str]:
        """Return the flags of `ray start`."""
        given = [f"--labels={','.join(f'{name}={value}' for name, value in self.labels.items())}"]
        if self.resources:
            given.append(f"--resources={json.dumps(self.resources, separators=(',', ':'))}")
        return given

    def as_json(self) -> dict[str, Any]:
        """Return everything as JSON, each entry with its source."""
        found = [{"path": a.path, "driver": a.driver, "capability": a.capability} for a in self.found]
        return {
            "resources": self.resources,
            "labels": self.labels,
            "found": found,
            "declared": list(self.declared),
            "ray_start": self.flags(),
        }


def declare(
    name: str | None,
    capabilities: Sequence[str],
    resources: Sequence[str],
    found: Sequence[Accelerator],
    gpu_memory_mb: float = 0.0,
) -> Declaration:
    """Merge what was detected with what was declared; the declaration wins. Raises BadDeclaration.

    `gpu_memory_mb` is the total memory of all GPUs as their driver reports it; 0 where it is unknown.
    """
    given = dict(_resource(text) for text in resources)
    counted: dict[str, float] = dict(Counter(RESOURCE for _ in found))
    counted[labels.GPU_MEMORY] = gpu_memory_mb
    able = sorted({a.capability for a in found} | {_checked_capability(text) for text in capabilities})
    made = {labels.NODE: name if name is not None else _host_name()}
    if not is_node_name(made[labels.NODE]):
        raise BadDeclaration(
            f"{made[labels.NODE]!r} is not a valid node name: set --name, using a-z, 0-9, dots and dashes"
        )
    if able:
        made[labels.CAPABILITIES] = labels.CAPABILITY_SEPARATOR.join(able)
    if given:
        made[DECLARED_LABEL] = ".".join(sorted(given))
    for label, value in made.items():
        if len(value) > LABEL_CHARACTERS_MAX:
            raise BadDeclaration(f"the label {label} would exceed {LABEL_CHARACTERS_MAX} characters: {value}")
    amounts = {resource: amount for resource, amount in {**counted, **given}.items() if amount > 0}
    return Declaration(amounts, made, tuple(found), tuple(sorted(given)))


def _resource(text: str) -> tuple[str, float]:
    name, _, amount = text.partition("=")
    if name in RAY_FLAGS:
        raise BadDeclaration(f"--resource {text}: set {name} with Ray's option {RAY_FLAGS[name]}")
    try:
        number = float(amount)
    except ValueError:
        number = -1.0
    if not _RESOURCE.fullmatch(name) or not 0 <= number < 1e9:
        raise BadDeclaration(f"--resource {text}: must be NAME=AMOUNT, like NPU=1")
    return name, int(number) if number.is_integer() else number


def _checked_capability(text: str) -> str:
    if not _CAPABILITY.fullmatch(text):
        raise BadDeclaration(f"--capability {text}: must consist of a-z, 0-9, dots and dashes")
    return text


def _host_name() -> str:
    return socket.gethostname().split(".")[0].lower()
