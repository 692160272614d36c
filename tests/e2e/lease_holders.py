"""The far side of test_stopped_workers.py: a process of external workers that hold their
tasks until they are told.

`python lease_holders.py NAME WORKERS BEAT_S` registers the workers NAME-0, NAME-1, and so on, at HELIX_URL,
as whom HELIX_AUTHORIZATION says. Each of them sends a heartbeat every BEAT_S seconds and holds one task at a
time, also one that was taken away meanwhile: it does not look, and learns it from the answer to its report.
The process reads lines of task ids, divided by blanks, and reports each of these that it holds, or comes to
hold, as completed. For every report that was answered it writes a line

    {"id": of the task, "attempt", "worker", "status": of HTTP, "error": {"code", "details", ...} or null}

and it ends with its input, with 0 if no other call was ever refused.

Only of the standard library and orjson: twenty of these start at once, and httpx alone takes
0.3 s or more to import.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import orjson

CONNECTIONS = 4
HEADERS = {"Authorization": os.environ["HELIX_AUTHORIZATION"], "Content-Type": "application/json"}

Json = dict[str, Any]
# By task; set once it is to be reported.
Told = defaultdict[str, asyncio.Event]


class Api:
    """The server over a few connections, whose requests are sent in the order they are made."""

    def __init__(self, url: str) -> None:
        self._host = urlsplit(url).netloc
        self._threads = ThreadPoolExecutor(CONNECTIONS)
        self._of_thread = threading.local()

    async def call(self, method: str, path: str, body: Json) -> tuple[int, Json]:
        """Return the status and the answer."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._send, method, path, orjson.dumps(body))

    async def post(self, path: str, body: Json) -> Json:
        """Send what must be taken; return the answer. Raises RuntimeError if it is refused."""
        status, answer = await self.call("POST", path, body)
        if status != 200:
            raise RuntimeError(f"{path} was answered {status}: {answer}")
        return answer

    def _send(self, method: str, path: str, body: bytes) -> tuple[int, Json]:
        # No timeout: the clock of a stopped process runs on, and what was under way at the
        # stop is answered after it.
        connection: HTTPConnection | None = getattr(self._of_thread, "connection", None)
        if connection is not None:
            try:
                return exchange(connection, method, path, body)
            except ConnectionError:
                # The server closes a connection that was idle for long, like that of a stopped process.
                connection.close()
        self._of_thread.connection = connection = HTTPConnection(self._host)
        return exchange(connection, method, path, body)


def exchange(connection: HTTPConnection, method: str, path: str, body: bytes) -> tuple[int, Json]:
    """Send one request; return the status and the answer. Raises ConnectionError on a closed connection."""
    connection.request(method, f"/api/v1{path}", body, HEADERS)
    answer = connection.getresponse()
    return answer.status, orjson.loads(answer.read())


async def report(api: Api, worker_id: str, task_id: str, attempt: int) -> None:
    """Say that an attempt is done, and write down what the server makes of it."""
    fence = {"attempt": attempt, "worker_id": worker_id}
    body = {"status": "completed", "progress": 100, "result": fence, **fence}
    status, answer = await api.call("PUT", f"/tasks/{task_id}", body)
    line = {"id": task_id, "attempt": attempt, "worker": worker_id, "status": status}
    sys.stdout.buffer.write(orjson.dumps(line | {"error": answer.get("error")}) + b"\n")
    sys.stdout.buffer.flush()


async def work(api: Api, worker_id: str, beat_s: float, told: Told) -> None:
    """Live one worker's life: beat, take a task, hold it until told, report it, go on."""
    hello = {"hostname": worker_id, "capabilities": ["design"], "worker_id": worker_id}
    await api.post("/workers/register", hello)
    while True:
        given = await api.post("/workers/heartbeat", {"worker_id": worker_id, "status": "idle"})
        task_id = given["assigned_task"]
        if task_id is None:
            await asyncio.sleep(beat_s)
            continue
        while not await within(beat_s, told[task_id]):
            busy = {"worker_id": worker_id, "status": "busy", "current_task": task_id}
            await api.post("/workers/heartbeat", busy)
        await report(api, worker_id, task_id, given["attempt"])


async def within(seconds: float, event: asyncio.Event) -> bool:
    """Wait that long at most; say whether it has happened."""
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return False
    return True


async def listen(told: Told) -> None:
    """Note which tasks are to be reported, until the input ends."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        for task_id in line.decode().split():
            told[task_id].set()


async def main(name: str, workers: int, beat_s: float) -> None:
    """Run the workers until the input ends."""
    told: Told = defaultdict(asyncio.Event)
    api = Api(os.environ["HELIX_URL"])
    async with asyncio.TaskGroup() as group:
        lives = [group.create_task(work(api, f"{name}-{n}", beat_s, told)) for n in range(workers)]
        await listen(told)
        for life in lives:
            life.cancel()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
