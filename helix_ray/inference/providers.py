"""The execution providers that models can be run with here: those built into ONNX Runtime, and plug-ins.

A plug-in is a wheel of its own that is registered when the providers are first asked for. It counts where
it offers a device. One that emulates its hardware is `simulated`: it is for tests, and the tuner never
takes it.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from helix_ray.inference.runtime import CPU, CUDA

__all__ = [
    "CPU", "CUDA", "OPENVINO", "PLUGGED", "PLUGINS", "Plugin", "Provider",
    "devices_of", "find_providers", "provider_options", "register_plugins",
]  # fmt: skip

OPENVINO = "OpenVINOExecutionProvider"

_NOT_LOCAL = ("AzureExecutionProvider",)
"""Built in, but sends the inputs to a service instead of running the model."""


@dataclass(frozen=True, slots=True)
class Plugin:
    """A wheel with an execution provider: what it is installed as, imported as, and called.

    `simulates_on_cpu`: what it offers as a CPU is an emulation of other hardware.
    """

    distribution: str
    module: str
    provider: str
    simulates_on_cpu: bool = False


PLUGINS = (
    Plugin("onnxruntime-ep-openvino", "onnxruntime_ep_openvino", OPENVINO),
    Plugin("onnxruntime-qnn", "onnxruntime_qnn", "QNNExecutionProvider", simulates_on_cpu=True),
)
PLUGGED = frozenset(plugin.provider for plugin in PLUGINS)


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider by its name: `devices` are the kinds (cpu, gpu, npu) that it offers, empty where that is
    only known once a session is made; `reason` says why it cannot be used, None where it can."""

    name: str
    devices: tuple[str, ...] = ()
    version: str | None = None
    simulated: bool = False
    reason: str | None = None


@dataclass(slots=True)
class _Registered:
    lock: threading.Lock = field(default_factory=threading.Lock)
    reasons: dict[str, str | None] | None = None  # by provider: why it could not be registered


_registered = _Registered()


def register_plugins() -> dict[str, str | None]:
    """Register the plug-ins whose wheels are installed, once per process.

    Returns, for each of them, why it cannot be used, None where it can.
    """
    with _registered.lock:
        if _registered.reasons is None:
            _registered.reasons = {
                plugin.provider: _register(plugin)
                for plugin in PLUGINS
                if find_spec(plugin.module) is not None
            }
        return dict(_registered.reasons)


def find_providers() -> list[Provider]:
    """Return the providers of this process, built-in ones first."""
    import onnxruntime

    reasons = register_plugins()
    built_in = [
        Provider(name, ("cpu",) if name == CPU else (), onnxruntime.__version__)
        for name in onnxruntime.get_available_providers()
        if name.partition(".")[0] not in reasons and name not in _NOT_LOCAL
    ]
    return built_in + [
        _plugged(plugin, reasons[plugin.provider]) for plugin in PLUGINS if plugin.provider in reasons
    ]


def devices_of(provider: str) -> list[Any]:
    """Return the devices (OrtEpDevice) that a plug-in offers, accelerators before CPUs; none for other
    providers."""
    import onnxruntime

    if provider not in register_plugins():
        return []
    offered = [each for each in onnxruntime.get_ep_devices() if each.ep_name == provider]
    return sorted(offered, key=lambda each: _kind(each) == "cpu")


def provider_options(
    provider: str, threads: int, *, tf32: bool = False, cuda_graph: bool = False
) -> dict[str, str]:
    """Return the options of a provider, by which FP32 is computed in FP32 unless `tf32` is asked for.

    By themselves the CUDA provider computes in TF32, and OpenVINO in BF16 or FP16 where the device has it,
    which on a CPU with AMX moved the outputs of a small transformer by 0.06.
    """
    if provider == CUDA:
        graph = {"enable_cuda_graph": "1"} if cuda_graph else {}
        return {"use_tf32": "1" if tf32 else "0", **graph}
    if provider == OPENVINO:
        exact = {"INFERENCE_PRECISION_HINT": "f32"}
        return {
            "load_config": json.dumps({"CPU": {**exact, "INFERENCE_NUM_THREADS": str(threads)}, "GPU": exact})
        }
    return {}


def _register(plugin: Plugin) -> str | None:
    import onnxruntime

    try:
        path = import_module(plugin.module).get_library_path()
        onnxruntime.register_execution_provider_library(plugin.provider, path)
    except Exception as error:  # what a plug-in raises is its own; ONNX Runtime's have no common base
        return f"{plugin.distribution} cannot be registered: {error}"
    return None


def _plugged(plugin: Plugin, reason: str | None) -> Provider:
    devices = [] if reason else devices_of(plugin.provider)
    kinds = tuple(dict.fromkeys(map(_kind, devices)))
    version = devices[0].ep_metadata.get("version") if devices else None
    if not devices and reason is None:
        reason = f"{plugin.distribution} finds no device of its own on this machine"
    simulated = plugin.simulates_on_cpu and bool(kinds) and set(kinds) == {"cpu"}
    return Provider(plugin.provider, kinds, version, simulated, reason)


def _kind(device: Any) -> str:
    return str(device.device.type.name).lower()
