"""The far side of test_journal_crash.py: engines over a journal, made to be killed.

`python journal_crash.py nest` imports everything once and forks an engine for every line `start DIR SOCKET`
that it reads. It writes lines: `started PID`, `ready` when the engine has folded its journal, checked itself
and listens (a killed one may never say so), and `ended CODE`. An engine serves, on its socket:

    {"order": {...}}    -> {"seq": n, ...}         when the order's facts are durable
    {"missing": [...]}  -> {"missing": [...]}      ids of this list that no task has

Orders that arrive while a commit runs go into the next one together.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import Any

import orjson

from helix_ray.core import orders as o
from helix_ray.core import snapshot
from helix_ray.core.access import SYSTEM, Principal
from helix_ray.core.errors import Rejected
from helix_ray.core.invariants import check
from helix_ray.core.orders import Order, Receipt
from helix_ray.core.policy import Policy
from helix_ray.core.state import State
from helix_ray.engine import Engine
from helix_ray.journal.sqlite import SqliteJournal

KEY = b"k" * 32
WORKER = "worker-1"
WRITER = "user-seed-writer"
LOCK_WAIT_S = 10.0
MARK_EVERY_COMMITS = 10
SNAPSHOT_EVERY_COMMITS = 37
LINE_BYTES_MAX = 1 << 24

Inbox = list[tuple[Order, asyncio.Future[Receipt | Rejected]]]


class WallClock:
    """Real time."""

    def wall(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


def to_order(line: dict[str, Any]) -> Order:
    """Build the order that a writer's line describes; the same line makes the same order."""
    verb = line["verb"]
    body: o.OrderBody
    by = Principal(WRITER, "writer", ("developer",))
    if verb == "submit":
        spec = {
            "title": "t",
            "type": "testing",
            "run": {"kind": "function", "function": "helix_ray.samples:noop"},
        }
        body = o.SubmitTasks((spec,) * line["count"])
    elif verb == "cancel":
        body = o.CancelTask(line["id"])
    elif verb == "start":
        by, body = SYSTEM, o.StartAttempts(((line["id"], WORKER),))
    else:
        report = o.AttemptReport(line["id"], 1, "completed", {"success": True}, duration_s=0.001)
        by, body = SYSTEM, o.ReportAttempts(WORKER, "boot", (report,))
    return Order(body, by, f"req-{line['seed']}", line["seed"], line["key"], "f")


def check_state(state: State) -> None:
    """Raise AssertionError unless every law of the core holds, also after a snapshot's round trip."""
    assert check(state) == []
    dumped = orjson.dumps(snapshot.dump(state))
    again = snapshot.load(orjson.loads(dumped))
    assert check(again) == []
    assert orjson.dumps(snapshot.dump(again)) == dumped


class Server:
    """One engine's life."""

    def __init__(self, data_dir: Path) -> None:
        self._journal = SqliteJournal(data_dir, KEY, LOCK_WAIT_S)
        self._engine = Engine(self._journal, Policy(), WallClock())
        self._engine.recover()
        assert self._journal.head() == self._engine.state.seq
        assert self._journal.verify() == self._journal.head()
        check_state(self._engine.state)
        if WORKER not in self._engine.state.workers:
            register = o.RegisterWorker(
                "host", (), {"cpu": 4}, worker_id=WORKER, kind="node", node_id="node-1", boot="boot"
            )
            writer = o.CreateUser("writer", "argon", ("developer",))
            firsts = (
                Order(register, SYSTEM, "req-0", "seed-worker"),
                Order(writer, SYSTEM, "req-0", "seed-writer"),
            )
            # In one commit: what is killed in between would have the one without the other.
            self._engine.execute(firsts)
        self._inbox: Inbox = []
        self._arrived = asyncio.Event()
        self._commits = 0

    async def serve(self, path: str) -> None:
        """Serve until killed."""
        server = await asyncio.start_unix_server(self._connection, path, limit=LINE_BYTES_MAX)
        print("ready", flush=True)
        async with server:
            while True:
                await self._arrived.wait()
                self._arrived.clear()
                self._commit()

    def _commit(self) -> None:
        taken, self._inbox = self._inbox, []
        answers = self._engine.execute([order for order, _ in taken])
        for (_, future), answer in zip(taken, answers, strict=True):
            future.set_result(answer)
        self._commits += 1
        if self._commits % MARK_EVERY_COMMITS == 0:
            self._journal.mark_head()
        if self._commits % SNAPSHOT_EVERY_COMMITS == 0:
            self._engine.save_snapshot()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            asked = orjson.loads(line)
            if "missing" in asked:
                tasks = self._engine.state.tasks
                reply: dict[str, Any] = {"missing": [i for i in asked["missing"] if i not in tasks]}
            else:
                reply = await self._execute(to_order(asked["order"]))
            writer.write(orjson.dumps(reply) + b"\n")
        writer.close()

    async def _execute(self, order: Order) -> dict[str, Any]:
        future: asyncio.Future[Receipt | Rejected] = asyncio.get_running_loop().create_future()
        self._inbox.append((order, future))
        self._arrived.set()
        answer = await future
        if isinstance(answer, Rejected):
            return {"rejected": answer.code, "message": answer.message}
        return {"seq": answer.seq, "replayed": answer.replayed, "data": answer.data}


async def _live(data_dir: str, path: str) -> None:
    await Server(Path(data_dir)).serve(path)


def nest() -> None:
    """Fork an engine for every line of standard input."""
    os.setpgid(0, 0)
    for line in sys.stdin:
        _, data_dir, path = line.split()
        pid = os.fork()
        if pid == 0:
            print("started", os.getpid(), flush=True)
            try:
                asyncio.run(_live(data_dir, path))
            finally:
                sys.stderr.flush()
        # Wait for its end: the parent kills it, and learns here that it is gone.
        _, status = os.waitpid(pid, 0)
        print("ended", os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    nest()
