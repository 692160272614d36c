"""Sends spans to a collector. Whoever makes them does not wait: of too many the oldest are dropped, and
counted."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import httpx

from helix_ray.core.views.figures import TraceFigures
from helix_ray.tracing.otlp import CONTENT_TYPE, encoded
from helix_ray.tracing.span import TraceSpan

log = logging.getLogger(__name__)

PATH = "/v1/traces"
WAITING_MAX = 20_000
SPANS_PER_REQUEST_MAX = 512
# Time in which spans gather.
PAUSE_S = 1.0
RESPONSE_S_MAX = 10.0
LAST_RESPONSE_S_MAX = 1.0
TRIES_MAX = 4
AGAIN_S = 1.0
# As the protocol says; other refusals would be repeated in vain.
TEMPORARY = frozenset({429, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Collector:
    """Where spans go: the address without a path, and a file with a line `Name: value` for each header."""

    endpoint: str
    headers_file: Path | None = None

    def headers(self) -> Mapping[str, str]:
        """Return the headers of each request. Raises OSError."""
        lines = self.headers_file.read_text().splitlines() if self.headers_file is not None else []
        pairs = (line.partition(":") for line in lines if line.strip())
        return {name.strip(): value.strip() for name, _, value in pairs} | {"Content-Type": CONTENT_TYPE}


class _Refusal(NamedTuple):
    """Why a collector has not taken spans, and whether it may take them later."""

    why: str
    temporary: bool


class Exporter:
    """A queue of spans and the task that sends them; for one event loop."""

    def __init__(self, collector: Collector, process: str) -> None:
        self._collector = collector
        self._process = process
        self._waiting: deque[TraceSpan] = deque()
        self._some = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._said = ""
        self.figures: TraceFigures = {"sent": 0, "dropped": 0, "failed": 0}

    def note(self, *spans: TraceSpan) -> None:
        """Queue spans; starts to send with the first ones. Call it on the loop."""
        self._waiting.extend(spans)
        while len(self._waiting) > WAITING_MAX:
            self._waiting.popleft()
            self.figures["dropped"] += 1
        if self._waiting:
            self._some.set()
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Send what waits, if the collector takes it at once, and stop; safe to call twice."""
        task, self._task = self._task, None
        if task is None:
            return
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        async with httpx.AsyncClient(timeout=LAST_RESPONSE_S_MAX) as http:
            while self._waiting and await self._post(http, self._next()) is None:
                pass
        self._waiting.clear()

    async def _run(self) -> None:
        async with httpx.AsyncClient(timeout=RESPONSE_S_MAX) as http:
            while True:
                await self._some.wait()
                if len(self._waiting) < SPANS_PER_REQUEST_MAX:
                    await asyncio.sleep(PAUSE_S)
                batch = self._next()
                if not self._waiting:
                    self._some.clear()
                try:
                    await self._send(http, batch)
                except asyncio.CancelledError:
                    self._waiting.extendleft(reversed(batch))
                    raise

    def _next(self) -> list[TraceSpan]:
        return [self._waiting.popleft() for _ in range(min(SPANS_PER_REQUEST_MAX, len(self._waiting)))]

    async def _send(self, http: httpx.AsyncClient, batch: list[TraceSpan]) -> None:
        refusal = await self._post(http, batch)
        for again in range(1, TRIES_MAX):
            if refusal is None or not refusal.temporary:
                break
            await asyncio.sleep(AGAIN_S * 2 ** (again - 1) * (0.5 + random.random() / 2))
            refusal = await self._post(http, batch)
        why = "" if refusal is None else refusal.why
        if why and why != self._said:
            log.warning("spans do not reach the collector: %s", why)
        self._said = why
        self.figures["failed" if why else "sent"] += len(batch)

    async def _post(self, http: httpx.AsyncClient, batch: Iterable[TraceSpan]) -> _Refusal | None:
        try:
            url = self._collector.endpoint.rstrip("/") + PATH
            body = encoded(batch, self._process)
            response = await http.post(url, content=body, headers=self._collector.headers())
        except (httpx.HTTPError, OSError) as error:
            return _Refusal(f"{type(error).__name__}: {error}", temporary=True)
        if response.is_success:
            return None
        return _Refusal(f"status {response.status_code}", response.status_code in TEMPORARY)
