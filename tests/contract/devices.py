"""Both reference clients behind one interface, each in a process that can be killed at any request."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import httpx

from helix_ray.devices import DeviceClient, FileStore
from tests.contract.browser import Browser

# A browser without a window; Debian has a package of this name.
BROWSER = "chromium-headless-shell"
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


class Lines(Protocol):
    """A process with examples/devices/sync.js, which is asked line by line."""

    def ask(self, line: str) -> str | None:
        """Return its answer; None where it was killed instead, and runs again with what its store has."""
        ...

    def close(self) -> None:
        """End it."""
        ...


class Node:
    """Node, whose device keeps its state in a file."""

    def __init__(self, program: str, url: str, file: Path) -> None:
        self._command = [program, str(CHILD), url, str(file)]
        self._open()

    def _open(self) -> None:
        self._child = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def ask(self, line: str) -> str | None:
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(line + "\n")
        self._child.stdin.flush()
        answer = self._child.stdout.readline()
        if not answer:
            self.close()
            self._open()
        return answer or None

    def close(self) -> None:
        for pipe in (self._child.stdin, self._child.stdout):
            assert pipe is not None
            with suppress(BrokenPipeError):
                pipe.close()
        self._child.wait(60)


class ScriptSide:
    """examples/devices/sync.js, wherever it runs."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines

    def ask(self, act: str, **given: Any) -> Any:
        said = self._lines.ask(json.dumps({"do": act, **given}))
        if said is None:
            raise Killed
        answer = json.loads(said)
        if answer.get("offline"):
            raise Offline
        assert "done" in answer, answer
        return answer["done"]

    def fail(self, faults: Faults) -> None:
        self.ask("faults", faults=faults)

    def skew(self, seconds: float) -> None:
        self.ask("skew", ms=seconds * 1000)

    def close(self) -> None:
        self._lines.close()


def _side(kind: str, find: Callable[[str], str], url: str, file: Path) -> Side:
    if kind == "p":
        return PythonSide(url, file)
    return ScriptSide(Node(find("node"), url, file) if kind == "s" else Browser(find(BROWSER), url, file))


@contextmanager
def sides(find: Callable[[str], str], url: str, folder: Path, kinds: str) -> Iterator[list[Side]]:
    """Start devices, each in Python (`p`), under Node (`s`) or in a browser (`b`); `find` finds programs."""
    made: list[Side] = []
    try:
        for number, kind in enumerate(kinds):
            made.append(_side(kind, find, url, folder / f"device-{number}.json"))
        yield made
    finally:
        for side in made:
            side.close()
