"""The resources and labels of this host for `ray start`: those detected and those declared by the user."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from actors import labels
from actors.devices import resources_of
from helix_ray.accelerators.device import Reading
from helix_ray.accelerators.families import capabilities_of
from helix_ray.core.names import is_node_name

# Names of resources that were declared but not detected, joined by dots.
DECLARED_LABEL = "helix-declared"
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
    found: tuple[Reading, ...]
    declared: tuple[str, ...]

    def flags(self) -> list[str]:
        """Return the flags of `ray start`."""
        given = [f"--labels={','.join(f'{name}={value}' for name, value in self.labels.items())}"]
        if self.resources:
            given.append(f"--resources={json.dumps(self.resources, separators=(',', ':'))}")
        return given

    def as_json(self) -> dict[str, object]:
        """Return everything as JSON, each entry with its source."""
        found = [found_as_json(reading) for reading in self.found]
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
    found: Sequence[Reading],
) -> Declaration:
    """Merge what was detected with what was declared; the declaration wins. Raises BadDeclaration."""
    given = dict(_resource(text) for text in resources)
    counted = resources_of(found)
    able = labels.capabilities_label(
        map(_checked_capability, capabilities), capabilities_of([reading.device for reading in found])
    )
    made = {labels.NODE: name if name is not None else _host_name()}
    if not is_node_name(made[labels.NODE]):
        raise BadDeclaration(
            f"{made[labels.NODE]!r} is not a valid node name: set --name, using a-z, 0-9, dots and dashes"
        )
    if able:
        made[labels.CAPABILITIES] = able
    if given:
        made[DECLARED_LABEL] = ".".join(sorted(given))
    for label, value in made.items():
        if len(value) > labels.VALUE_CHARACTERS_MAX:
            raise BadDeclaration(
                f"the label {label} would exceed {labels.VALUE_CHARACTERS_MAX} characters: {value}"
            )
    amounts = {resource: amount for resource, amount in {**counted, **given}.items() if amount > 0}
    return Declaration(amounts, made, tuple(found), tuple(sorted(given)))


def found_as_json(reading: Reading) -> dict[str, str | float | None]:
    """Return a device as `helix node-resources --json` prints it."""
    device, used, memory = reading.device, reading.utilization, reading.memory
    return {
        "path": device.path,
        "driver": device.driver,
        "capability": device.capability,
        "kind": device.kind,
        "vendor": device.vendor,
        "name": device.name,
        "counted_by": "ray" if device.counted_by_ray else "helix",
        "utilization": used.value,
        "source": used.source,
        "reason": used.reason,
        "memory_used_mb": memory.used_mb,
        "memory_total_mb": memory.total_mb,
        "note": reading.note,
    }


def found_as_line(reading: Reading) -> str:
    """Return a device as `helix node-resources` prints it."""
    device, memory = reading.device, reading.memory
    by = f"driver {device.driver}" if device.driver else "its device file"
    shared = " shared with the CPUs" if memory.unified else ""
    size = f", {memory.total_mb} MiB{shared}" if memory.total_mb else ""
    counts = ", counted by Ray" if device.counted_by_ray else ""
    note = f", {reading.note}" if reading.note else ""
    what = f"{device.name or device.vendor} ({device.capability})"
    return f"found {device.path or device.id}: {what}, by {by}{size}{counts}{note}"


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
