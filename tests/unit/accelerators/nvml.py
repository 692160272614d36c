"""An NVML binding that a test makes fail, hang and come back."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any


class NVMLError(Exception):
    """As the binding's: its text is NVML's."""


class FakeNvml:
    """Cards by index; `dead` is what every call raises, `hangs` keeps the next call until it is let go."""

    NVMLError = NVMLError

    def __init__(self, *cards: dict[str, Any]) -> None:
        self.cards = cards
        self.dead: str | None = None
        self.hangs = threading.Event()
        self.hangs.set()
        self.opened = 0
        self.calls = 0

    def _call(self) -> None:
        self.calls += 1
        self.hangs.wait()
        if self.dead is not None:
            raise NVMLError(self.dead)

    def _value(self, handle: Any, name: str) -> Any:
        self._call()
        found = self.cards[handle].get(name)
        if isinstance(found, str) and found.startswith("!"):
            raise NVMLError(found[1:])
        if found is None:
            raise NVMLError("Not Supported")
        return found

    def nvmlInit(self) -> None:
        self._call()
        self.opened += 1

    def nvmlShutdown(self) -> None:
        self._call()

    def nvmlDeviceGetCount(self) -> int:
        self._call()
        return len(self.cards)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        self._call()
        if self.cards[index].get("lost"):
            raise NVMLError("GPU is lost")
        return index

    def nvmlDeviceGetName(self, handle: int) -> Any:
        return self._value(handle, "name")

    def nvmlDeviceGetUUID(self, handle: int) -> Any:
        return self._value(handle, "uuid")

    def nvmlDeviceGetMigMode(self, handle: int) -> Any:
        return self._value(handle, "mig")

    def nvmlDeviceGetMaxMigDeviceCount(self, handle: int) -> Any:
        return self._value(handle, "parts")

    def nvmlDeviceGetMigDeviceHandleByIndex(self, handle: int, index: int) -> Any:
        """Every instance is as the last card."""
        self._call()
        return len(self.cards) - 1

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> Any:
        return SimpleNamespace(gpu=self._value(handle, "busy"))

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> Any:
        used, total = self._value(handle, "memory")
        return SimpleNamespace(used=used, total=total)

    def nvmlDeviceGetComputeRunningProcesses(self, handle: int) -> Any:
        return [SimpleNamespace(usedGpuMemory=size) for size in self._value(handle, "processes")]


def card(number: int = 0, **fields: Any) -> dict[str, Any]:
    """Return a card of 80 GiB that is half busy."""
    return {
        "name": b"NVIDIA H100", "uuid": f"GPU-{number}", "busy": 50, "memory": (1 << 30, 80 << 30), **fields
    }  # fmt: skip
