"""Both reference clients behind one interface, each in a process that can be killed at any request."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import httpx

from helix_ray.devices import DeviceClient, FileStore

CHILD = Path(__file__).with_name("device_child.js")
# What may happen to a request: it is lost before or after the server has done it, or the device is killed.
FAULTS = ("before", "after", "killed", "killed after")
Faults = dict[int, str]


class Offline(Exception):
    """A request was lost; the device goes on later."""


class Killed(BaseException):
    """The process of the device was killed."""


class Side(Protocol):
    """A device, whatever it is written in."""

    def ask(self, act: str, **given: Any) -> Any:
        """Do something; raises Offline, or Killed, after which it goes on from its store."""
        ...

    def fail(self, faults: Faults) -> None:
        """Say what happens to which of its next requests, by number from 1."""
        ...

    def skew(self, seconds: float) -> None:
        """Set how wrong its clock is."""
        ...

    def close(self) -> None:
        """End it."""
        ...


class _Faulty(httpx.BaseTransport):
    """Loses requests and answers, and kills the device that sends them."""

    def __init__(self, timeout_s: float = 60.0) -> None:
        self._sound = httpx.HTTPTransport()
        self.faults: Faults = {}
        self.sent = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.sent += 1
        fault = self.faults.get(self.sent)
        if fault == "before":
            raise httpx.ConnectError("lost")
        if fault == "killed":
            raise Killed
        answer = self._sound.handle_request(request)
        answer.read()
        if fault == "after":
            raise httpx.ReadError("lost")
        if fault == "killed after":
            raise Killed
        return answer

    def close(self) -> None:
        self._sound.close()


class PythonSide:
    """helix_ray.devices in this process; killed means that only its file is left."""

    def __init__(self, url: str, file: Path) -> None:
        self._url, self._file = url, file
        self._skew_s = 0.0
        self._open()

    def _open(self) -> None:
        self._transport = _Faulty()
        http = httpx.Client(transport=self._transport, timeout=60.0)
        store = FileStore(self._file)
        self._device = DeviceClient(self._url, store, http=http, clock=lambda: time.time() + self._skew_s)

    def ask(self, act: str, **given: Any) -> Any:
        try:
            return self._do(act, given)
        except httpx.TransportError as lost:
            raise Offline from lost
        except Killed:
            self._device.close()
            self._open()
            raise

    def _do(self, act: str, given: dict[str, Any]) -> Any:
        device = self._device
        if act == "put":
            return device.put(given["kind"], given["key"], **given["fields"])
        if act == "act":
            return device.act(given["op"], **given["fields"])
        if act == "shown":
            return device.replica.shown(given["kind"])
        if act == "state":
            return device.replica.state() | {"resets": device.replica.resets}
        return getattr(device, act)(**given)

    def fail(self, faults: Faults) -> None:
        self._transport.faults, self._transport.sent = faults, 0

    def skew(self, seconds: float) -> None:
        self._skew_s = seconds

    def close(self) -> None:
        self._device.close()


class ScriptSide:
    """examples/devices/sync.js under Node, in a child that is asked line by line."""

    def __init__(self, node: str, url: str, file: Path) -> None:
        self._command = [node, str(CHILD), url, str(file)]
        self._open()

    def _open(self) -> None:
        self._child = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def ask(self, act: str, **given: Any) -> Any:
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(json.dumps({"do": act, **given}) + "\n")
        self._child.stdin.flush()
        line = self._child.stdout.readline()
        if not line:
            self.close()
            self._open()
            raise Killed
        answer = json.loads(line)
        if answer.get("offline"):
            raise Offline
        assert "done" in answer, answer
        return answer["done"]

    def fail(self, faults: Faults) -> None:
        self.ask("faults", faults=faults)

    def skew(self, seconds: float) -> None:
        self.ask("skew", ms=seconds * 1000)

    def close(self) -> None:
        for pipe in (self._child.stdin, self._child.stdout):
            assert pipe is not None
            with suppress(BrokenPipeError):
                pipe.close()
        self._child.wait(10)


@contextmanager
def sides(node: str, url: str, folder: Path, kinds: str) -> Iterator[list[Side]]:
    """Start devices: `p` is one in Python, `s` one in JavaScript."""
    made: list[Side] = []
    try:
        for number, kind in enumerate(kinds):
            file = folder / f"device-{number}.json"
            made.append(PythonSide(url, file) if kind == "p" else ScriptSide(node, url, file))
        yield made
    finally:
        for side in made:
            side.close()
