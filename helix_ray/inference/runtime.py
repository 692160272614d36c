"""Which ONNX Runtime is installed, read from its files: nothing is imported.

The distributions onnxruntime (CPUs) and onnxruntime-gpu have one import name and write to one folder, so
pip cannot keep them apart: the file that the runtime itself takes its name from says which one was
installed last.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import distributions
from importlib.util import find_spec
from pathlib import Path

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"

_INFO = "capi/build_and_package_info.py"
_PROVIDER_FILES = {
    "capi/libonnxruntime_providers_tensorrt.so": "TensorrtExecutionProvider",
    "capi/libonnxruntime_providers_cuda.so": CUDA,
    "capi/libonnxruntime_providers_migraphx.so": "MIGraphXExecutionProvider",
    "capi/libonnxruntime_providers_cann.so": "CANNExecutionProvider",
    "capi/libonnxruntime_providers_openvino.so": "OpenVINOExecutionProvider",
}


@dataclass(frozen=True, slots=True)
class Runtime:
    """The installed ONNX Runtime: its distribution, its version, and the providers built into it."""

    distribution: str
    version: str
    providers: tuple[str, ...]


def installed_runtime(folder: Path | None = None) -> Runtime | None:
    """Return the runtime in a package's folder, by default the one that is imported; None where there is
    none."""
    found = _folder() if folder is None else folder
    if found is None:
        return None
    try:
        values = _constants((found / _INFO).read_text())
    except (OSError, SyntaxError):
        return None
    built_in = tuple(name for file, name in _PROVIDER_FILES.items() if (found / file).exists())
    return Runtime(
        values.get("package_name", "onnxruntime"), values.get("__version__", "unknown"), (*built_in, CPU)
    )


def runtime_problem(
    gpus: Sequence[str], runtime: Runtime | None, installed: Sequence[str] | None = None
) -> str | None:
    """Return what is wrong with the runtime of a machine with these NVIDIA GPUs and what to do; None if
    nothing is.

    `installed` are the names of the installed distributions whose import name is onnxruntime.
    """
    names = sorted(runtimes_installed()) if installed is None else sorted(installed)
    if runtime is None:
        return "ONNX Runtime is not installed: models do not run; pip install onnxruntime"
    if len(names) > 1:
        return (
            f"{' and '.join(names)} are installed into one folder, and their files are mixed: "
            f"pip uninstall -y {' '.join(names)}, then install the one that this machine needs"
        )
    if gpus and CUDA not in runtime.providers:
        return (
            f"{gpus[0]} is here, but {runtime.distribution} {runtime.version} is for CPUs only, so models do "
            f"not run on it: pip uninstall -y {runtime.distribution}, "
            "then pip install 'onnxruntime-gpu[cuda,cudnn]'"
        )
    return None


def runtimes_installed() -> set[str]:
    """Return the installed distributions that are an ONNX Runtime; plug-ins and tools are none."""
    names = {str(each.metadata["Name"]).lower().replace("_", "-") for each in distributions()}
    known = {
        "onnxruntime",
        "onnxruntime-gpu",
        "onnxruntime-migraphx",
        "onnxruntime-cann",
        "onnxruntime-openvino",
    }
    return names & known


def _folder() -> Path | None:
    spec = find_spec("onnxruntime")
    return None if spec is None or spec.origin is None else Path(spec.origin).parent


def _constants(text: str) -> dict[str, str]:
    """Return the texts that a module assigns to names, without running it."""
    return {
        target.id: node.value.value
        for node in ast.parse(text).body
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
