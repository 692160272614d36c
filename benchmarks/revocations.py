"""How long a revoked API token is still accepted, at each of several API replicas.

`python -m benchmarks.revocations [--tokens N] [--replicas N]` starts a server of its own. Each token is made
and used at every replica, so that all of them know it; then it is revoked, and used at every replica until it
is refused. It reads a task, which replicas answer from memory: most other requests reach the master, which
knows at once. What counts is when the last request was sent that was still accepted, from the answer to the
revocation.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import orjson
import psutil
import uvloop

from benchmarks.load import Connection, request
from benchmarks.processes import helix

TOKENS = 1_000
REPLICAS = 3
LANES = 16
CONNECTIONS_MAX = 400
REFUSED = 401
ACCEPTED_OR_REFUSED = range(200, REFUSED + 1)
REPLICA = "ray::ServeReplica"


@dataclass(frozen=True, slots=True)
class Lane:
    """Revokes one token after another, over a connection to each replica."""

    port: int
    session: str
    task: str
    replicas: Sequence[Connection]

    async def revoke_one(self, name: str) -> list[float]:
        """Return for each replica when the last request was sent that it accepted, in seconds after the
        revocation was answered; 0 for none."""
        made = await self._ask(self.replicas[0], "POST", "/auth/tokens", self.session, {"name": name})
        token = made["token"]
        for each in self.replicas:
            await self._ask(each, "GET", f"/tasks/{self.task}", token)
        await self._ask(self.replicas[0], "DELETE", f"/auth/tokens/{made['id']}", self.session)
        revoked = time.perf_counter()
        return await asyncio.gather(*(self._accepted_until(each, token, revoked) for each in self.replicas))

    async def _accepted_until(self, replica: Connection, token: str, revoked: float) -> float:
        latest = 0.0
        use = request("GET", f"/api/v1/tasks/{self.task}", port=self.port, token=token)
        while True:
            sent = time.perf_counter() - revoked
            if (await replica.exchange(use, ACCEPTED_OR_REFUSED)).status == REFUSED:
                return latest
            latest = sent

    async def _ask(
        self, replica: Connection, method: str, path: str, token: str, body: object = None
    ) -> dict[str, str]:
        return await _asked(replica, self.port, method, path, token, body)


async def _asked(
    replica: Connection, port: int, method: str, path: str, token: str, body: object = None
) -> dict[str, str]:
    sent = None if body is None else orjson.dumps(body)
    answer = await replica.exchange(request(method, f"/api/v1{path}", port=port, token=token, body=sent))
    found: dict[str, str] = orjson.loads(answer.body) if answer.body else {}
    return found


def measure(port: int, session: str, replicas: Sequence[int], tokens: int) -> list[float]:
    """Revoke tokens of the user of a session; return of each at each replica (by process id) how long it was
    accepted."""

    async def drive() -> list[float]:
        lanes = await _lanes(port, session, replicas, min(LANES, tokens))
        numbers = iter(range(tokens))

        async def run(lane: Lane) -> list[float]:
            return [s for number in numbers for s in await lane.revoke_one(f"revoked-{number}")]

        try:
            found = await asyncio.gather(*map(run, lanes))
        finally:
            for each in itertools.chain.from_iterable(lane.replicas for lane in lanes):
                each.close()
        return list(itertools.chain.from_iterable(found))

    return uvloop.run(drive())


async def _lanes(port: int, session: str, replicas: Sequence[int], count: int) -> list[Lane]:
    """Connect until every replica, which share the port, has accepted as many as there are lanes."""
    connected: dict[int, list[Connection]] = {pid: [] for pid in replicas}
    while any(len(found) < count for found in connected.values()):
        if sum(map(len, connected.values())) > CONNECTIONS_MAX:
            raise RuntimeError("a replica accepts no connections")
        opened = [await Connection.open(port) for _ in range(count)]
        for each in opened:
            # Once it has answered, a replica has accepted it.
            await each.exchange(request("GET", "/healthz", port=port))
        owners = {place: pid for pid in replicas for place in _peers(pid)}
        for each in opened:
            connected[owners[each.port]].append(each)
    for found in connected.values():
        for each in found[count:]:
            each.close()
    first = next(iter(connected.values()))[0]
    task = await _asked(first, port, "POST", "/tasks", session, {"title": "read", "type": "planning"})
    lanes = zip(*(found[:count] for found in connected.values()), strict=True)
    return [Lane(port, session, task["id"], lane) for lane in lanes]


def _peers(pid: int) -> set[int]:
    return {each.raddr.port for each in psutil.Process(pid).net_connections("tcp") if each.raddr}


def _replicas(server: int, count: int) -> list[int]:
    """Wait until the server has so many replicas: it is ready with the first one."""
    found: list[int] = []
    while len(found) < count:
        below = psutil.Process(server).children(recursive=True)
        found = [each.pid for each in below if " ".join(each.cmdline()[:1]).startswith(REPLICA)]
    return found


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.revocations", description=__doc__)
    parser.add_argument("--tokens", type=int, default=TOKENS, help=f"tokens to revoke ({TOKENS})")
    parser.add_argument("--replicas", type=int, default=REPLICAS, help=f"API replicas ({REPLICAS})")
    given = parser.parse_args()
    with helix(api_replicas=str(given.replicas)) as server:
        found = measure(server.port, server.token, _replicas(server.pid, given.replicas), given.tokens)
    late = sum(seconds >= 1.0 for seconds in found)
    print(
        f"{given.tokens} revocations at {given.replicas} replicas: accepted for at most {max(found):.3f} s "
        f"(median {statistics.median(found):.3f} s); {late} for 1 s or longer"
    )
    return int(late > 0)


if __name__ == "__main__":
    sys.exit(main())
