"""What the fields of accelerators mean, and of what models run with."""

from __future__ import annotations

from typing import Final

FIELDS: Final = {
    "AccelerationOut": {
        "npu": "The NPUs.",
        "gpu": "The GPUs.",
        "optimizations": "What models run with.",
        "node": "The only node that is described; null: the whole cluster.",
    },
    "Accelerator": {
        "available": "Whether a driver on a live node reports a device.",
        "model": "The most frequent name of the devices; null: there are none.",
        "utilization": "How busy the known devices are on average, in percent; null: none is known.",
        "source": "Where that was read; null: nowhere, or not stated.",
        "window_s": "The longest window of these values, in seconds; null: none is stated.",
        "reason": "Why a value is unknown or there is no device; null: every value is known.",
        "simulated": "Whether its accelerators are only logical, with no device behind them.",
        "count": "How many devices there are.",
        "known": "Of how many the utilization is known.",
        "devices": "The devices, at most 100, with logical ones.",
    },
    "DeviceWithHistory NodeDevice": {
        "index": "The number of the device among those of its kind on the node, from 0.",
        "id": "Its id, which tells it from other devices of the node.",
        "kind": "`gpu` or `npu`.",
        "vendor": "Its maker.",
        "name": "What its maker calls it; null: not known.",
        "driver": "The driver that reports it; null: not known.",
        "utilization": "How busy it is, in percent; null: the `reason` says why it is not known.",
        "source": "Where that was read; null: nowhere.",
        "window_s": (
            "The seconds that the value is about, 0 for an instant; null: the source does not state it."
        ),
        "reason": "Why the utilization is null or partial; null: it is known.",
        "memory_used_mb": "Memory in use, in MiB; null: not known.",
        "memory_total_mb": "Memory in all, in MiB; null: not known.",
        "memory_source": "Where the memory was read; null: nowhere.",
        "memory_reason": "Why the memory is not known; null: it is.",
        "unified": "Whether its memory is the host's, shared with the processors.",
        "note": "What else is to be said, such as `suspended`; null: nothing.",
    },
    "NodeDevice": {
        "node": "The id of its node.",
        "simulated": "Whether it is only logical, with no device behind it.",
    },
    "DeviceWithHistory": {"history": "Its points, oldest first."},
    "DevicePointOut": {
        "at": "When the point begins, in ISO 8601.",
        "utilization": "How busy it was on average, in percent; null: not known.",
        "utilization_max": "How busy it was at most, in percent; null: not known.",
        "memory_used_mb": "Memory in use on average, in MiB; null: not known.",
    },
    "NodeDevicesOut": {
        "node": "The id of the node.",
        "measured_at": "When the devices were last measured, in ISO 8601; null: not yet.",
        "point_s": "The seconds of a point of their histories.",
        "devices": "The devices.",
    },
    "Optimizations": {
        "quantization": (
            "`enabled` where a quantised variant that passed its gate is in use, else `disabled`."
        ),
        "pruning": "Whether a pruned variant is in use: `disabled`, since none is made.",
        "precision": "The precision of the files of most variants in use.",
        "compute": "The arithmetic of most variants in use.",
        "quantization_reason": "Why it is so; null: there is nothing to explain.",
        "pruning_reason": "Why it is so; null: there is nothing to explain.",
        "precision_reason": "Why it is so; null: there is nothing to explain.",
        "models": "The variants in use, by model.",
    },
    "VariantInUseOut": {
        "model": "The model and its version, as `name@version`.",
        "variant": "The name of the variant.",
        "precision": "The precision of its file.",
        "compute": "The arithmetic that it is computed in.",
    },
}
