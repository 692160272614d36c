"""A client that never stops submitting, and keeps what was acknowledged."""

from __future__ import annotations

import contextlib
import threading

import httpx

from tests.e2e.live import function


class Load(threading.Thread):
    """A client that submits one task after the other, sends again what was not answered, and
    keeps what was acknowledged."""

    def __init__(self, client: httpx.Client) -> None:
        super().__init__(daemon=True)
        self.ids: list[str] = []
        self.refused: list[str] = []
        self._client = client
        self._stop_it = threading.Event()

    def run(self) -> None:
        """Go on until told to end."""
        number = 0
        while not self._stop_it.is_set():
            number += 1
            self._submit(f"{id(self)}-{number}")
            self._stop_it.wait(0.05)

    def _submit(self, key: str) -> None:
        while not self._stop_it.is_set():
            with contextlib.suppress(httpx.TransportError):
                headers = {"Idempotency-Key": key}
                answer = self._client.post("/tasks", json=function("add", 1, 1), headers=headers)
                if answer.status_code == 201:
                    self.ids.append(answer.json()["id"])
                    return
                if answer.status_code != 503:
                    self.refused.append(answer.text)
                    return
            self._stop_it.wait(0.1)

    def finish(self) -> list[str]:
        """End; return the ids of all that was acknowledged."""
        self._stop_it.set()
        self.join()
        assert self.refused == []
        return self.ids
