"""What decides how fast a variant of a model is on a node, as a short name: nodes of one class share their
tuning.

The name changes when the hardware, the driver or the runtime changes, so what was measured before no longer
applies. Everything is read from files; ONNX Runtime is not imported.
"""

from __future__ import annotations

import hashlib
import json
import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TypedDict

from helix_ray.inference.providers import PLUGINS
from helix_ray.inference.runtime import Runtime, installed_runtime
from helix_ray.inference.threads import usable_threads

__all__ = ["FLAGS", "Machine", "NodeClass", "cpu_flags", "node_class", "nvidia_driver", "nvidia_gpus"]

FLAGS = (
    "avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_int8", "amx_bf16",
    "asimddp", "asimdhp", "i8mm", "bf16", "sve", "sve2",
)  # fmt: skip
"""The CPU's flags that ONNX Runtime's kernels are chosen by, with the kernel's names (x86, then Arm)."""

_INT8 = {"amx_int8", "avx512_vnni", "avx_vnni", "i8mm", "asimddp"}
_DIGEST_CHARACTERS = 8
_PART_CHARACTERS_MAX = 16


class Machine(TypedDict):
    """What decides the speed of models: `flags` are those of FLAGS that the CPU has, `cores` a power of
    two."""

    architecture: str
    cpu: str | None
    flags: list[str]
    cores: int
    gpus: list[str]
    driver: str | None
    runtime: str | None
    runtime_version: str | None
    providers: list[str]
    plugins: dict[str, str]


@dataclass(frozen=True, slots=True)
class NodeClass:
    """`name` is at most 63 characters of a-z 0-9 . - (a label's value); `details` is what it stands for."""

    name: str
    details: Machine


def node_class(
    root: Path = Path("/"),
    *,
    gpus: Sequence[str] | None = None,
    cores: int | None = None,
    runtime: Runtime | None = None,
) -> NodeClass:
    """Return the class of this machine, whose kernel's files are below `root`.

    `gpus` are the names of the GPUs that count; None for those that NVIDIA's driver lists. `cores` and
    `runtime` are this process's by default. Cores count as the power of two below.
    """
    found = nvidia_gpus(root) if gpus is None else list(gpus)
    runtime = installed_runtime() if runtime is None else runtime
    cpu, flags = _cpu(root)
    details: Machine = {
        "architecture": platform.machine(),
        "cpu": cpu,
        "flags": flags,
        "cores": _power_of_two(usable_threads() if cores is None else cores),
        "gpus": sorted(found),
        "driver": nvidia_driver(root) if found else None,
        "runtime": runtime.distribution if runtime else None,
        "runtime_version": runtime.version if runtime else None,
        "providers": list(runtime.providers) if runtime else [],
        "plugins": _plugins(),
    }
    return NodeClass(_name(details), details)


def nvidia_gpus(root: Path = Path("/")) -> list[str]:
    """Return the model of each GPU that NVIDIA's driver lists in /proc/driver/nvidia/gpus."""
    texts = (_read(file) for file in sorted(root.glob("proc/driver/nvidia/gpus/*/information")))
    found = (re.search(r"^Model:\s*(.+?)\s*$", text, re.MULTILINE) for text in texts)
    return [match[1] for match in found if match is not None]


def nvidia_driver(root: Path = Path("/")) -> str | None:
    """Return the version of NVIDIA's kernel driver, None where it is not loaded."""
    match = re.search(r"\b(\d{3,}\.\d+(?:\.\d+)*)\b", _read(root / "proc/driver/nvidia/version"))
    return match[1] if match else None


@lru_cache(maxsize=8)
def cpu_flags(root: Path = Path("/")) -> frozenset[str]:
    """Return those of FLAGS that this machine's CPU has."""
    return frozenset(_cpu(root)[1])


def _cpu(root: Path) -> tuple[str | None, list[str]]:
    text = _read(root / "proc/cpuinfo")
    fields = dict(re.findall(r"^([^\t:\n]+?)\s*:\s*(.*)$", text.partition("\n\n")[0], re.MULTILINE))
    has = set((fields.get("flags") or fields.get("Features") or "").split())
    # Arm has no name of the model, but numbers of its maker and of its core.
    numbers = " ".join(fields[key] for key in ("CPU implementer", "CPU part") if key in fields)
    return fields.get("model name") or numbers or None, [flag for flag in FLAGS if flag in has]


def _plugins() -> dict[str, str]:
    found = {}
    for plugin in PLUGINS:
        if find_spec(plugin.module) is not None:
            try:
                found[plugin.distribution] = version(plugin.distribution)
            except PackageNotFoundError:
                found[plugin.distribution] = "unknown"
    return found


def _name(details: Machine) -> str:
    """Return words for the reader and a digest of everything: x86-64-vnni-2c-ort1.32.0-3f9a1c2b."""
    flags = set(details["flags"])
    fast = "amx" if "amx_int8" in flags else "int8" if flags & _INT8 else None
    gpu = details["gpus"][0] if details["gpus"] else None
    words = [
        details["architecture"], fast, f"{details['cores']}c", gpu and gpu.removeprefix("NVIDIA "),
        f"ort{details['runtime_version'] or '-none'}",
    ]  # fmt: skip
    digest = hashlib.sha256(json.dumps(details, sort_keys=True).encode()).hexdigest()[:_DIGEST_CHARACTERS]
    parts = [_word(word) for word in words if word]
    return "-".join([*(part for part in parts if part), digest])


def _word(text: str) -> str:
    plain = re.sub(r"[^a-z0-9.]+", "-", text.lower().replace("_", "-"))
    return plain[:_PART_CHARACTERS_MAX].strip("-.")


def _power_of_two(cores: int) -> int:
    return int(1 << (max(1, cores).bit_length() - 1))


def _read(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""
