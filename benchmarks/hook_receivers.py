"""Receivers of webhooks in a process of their own: `python -m benchmarks.hook_receivers FILE`.

It prints its port, and answers at every address of 127.0.0.0/8; the first part of the path is the mode:

    ok          200 at once
    flaky       behaves badly on the first try of a quarter of the messages: the second part says how, of
                fail, redirect, reset, half, slow or hang (that one: of 0.5 %)

FILE gets what came, as lines of JSON: path, webhook-id, number, try, time of arrival, whether the signatures
verify, and the seconds until it was answered. `GET /report` answers when the file has all of it, and
`GET /count` how many messages came, each number of a path counted once. A message with `probe` in its path is
answered and not reported.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
import zlib
from collections import defaultdict
from collections.abc import Mapping
from typing import TextIO

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from helix_ray.webhooks.signing import body_signature

SECRET = "a secret of the benchmark"
SIGNING_SECRET = "whsec_" + "QUFB" * 10
HANG_S = 60.0
SLOW_S = 0.1
# Of a thousand messages.
BAD_SHARE, HANG_SHARE = 250, 5
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
BAD = {
    "fail": b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n",
    "redirect": b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
    "half": b"HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\nhalf",
}


class Receivers:
    """What came, and how each request is answered."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        # By path, a byte for each number.
        self._seen: defaultdict[str, bytearray] = defaultdict(bytearray)
        self._count = 0
        self._verifier = Webhook(SIGNING_SECRET)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        try:
            while await self._answer(reader, writer):
                pass
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = head[0].split(" ", 2)
        headers = {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])
        }
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        if method == "GET":
            text = self._shown(path)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text))
            return True
        arrived = time.time()
        how = "ok" if path.startswith("/ok") else self._badly(path, headers)
        if how in ("hang", "slow"):
            await asyncio.sleep(HANG_S if how == "hang" else SLOW_S)
        if how in ("ok", "slow") and "probe" not in path:
            self._note(path, headers, body, arrived)
        if how == "reset":
            writer.transport.abort()
            return False
        writer.write(BAD.get(how, OK))
        return how != "half"

    def _shown(self, path: str) -> bytes:
        if path == "/count":
            return b"%d" % self._count
        self._file.flush()
        return b"written"

    def _badly(self, path: str, headers: Mapping[str, str]) -> str:
        """Return how to answer: the same for each try of a message, but for the first."""
        if path.startswith("/hang"):
            return "hang"
        chance = zlib.crc32((headers.get("webhook-id", "") + path).encode()) % 1000
        how = path.split("/")[2]
        share = HANG_SHARE if how == "hang" else BAD_SHARE
        return how if headers.get("helix-try") == "1" and chance < share else "ok"

    def _note(self, path: str, headers: Mapping[str, str], body: bytes, arrived: float) -> None:
        number, tries = int(headers.get("helix-number", "0")), int(headers.get("helix-try", "0"))
        self._count_once(path, number)
        name, verifies = headers.get("webhook-id", ""), self._verifies(headers, body)
        row = (path, name, number, tries, arrived, verifies, time.time() - arrived)
        self._file.write(json.dumps(row) + "\n")

    def _count_once(self, path: str, number: int) -> None:
        seen = self._seen[path]
        seen.extend(bytes(max(0, number + 1 - len(seen))))
        self._count += not seen[number]
        seen[number] = 1

    def _verifies(self, headers: Mapping[str, str], body: bytes) -> bool:
        try:
            self._verifier.verify(body, dict(headers))
        except (WebhookVerificationError, KeyError):
            return False
        return headers.get("x-hub-signature-256") == body_signature(body, SECRET)


async def main() -> None:
    """Serve until stdin ends."""
    with open(sys.argv[1], "w") as file:
        server = await asyncio.start_server(Receivers(file).serve, "0.0.0.0", 0, backlog=4096)
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.to_thread(sys.stdin.read)
        server.close()


if __name__ == "__main__":
    asyncio.run(main())
