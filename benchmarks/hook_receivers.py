"""Receivers of webhooks in a process of their own: `python -m benchmarks.hook_receivers`.

It prints its port, and answers at every address of 127.0.0.0/8; the first part of the path is the mode:

    ok          200 at once
    flaky       behaves badly on the first try of half of the messages: the second part says how, of
                fail, redirect, reset, half, slow or hang

`GET /report` returns what came, as lines of JSON: path, webhook-id, number, try, time of arrival, whether the
signatures verify, and the seconds until it was answered; `GET /count` returns how many messages came, each
counted once. A message with `probe` in its path is answered and not reported.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
import zlib
from collections.abc import Mapping

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from helix_ray.webhooks.signing import body_signature

SECRET = "a secret of the benchmark"
SIGNING_SECRET = "whsec_" + "QUFB" * 10
HANG_S = 60.0
SLOW_S = 0.3
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
BAD = {
    "fail": b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n",
    "redirect": b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
    "half": b"HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\nhalf",
}


class Receivers:
    """What came, and how each request is answered."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str, int, int, float, bool, float]] = []
        self._ids: set[str] = set()
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
            return b"%d" % len(self._ids)
        return "\n".join(json.dumps(row) for row in self.rows).encode()

    def _badly(self, path: str, headers: Mapping[str, str]) -> str:
        """Return how to answer: the same for each try of a message, but for the first."""
        if path.startswith("/hang"):
            return "hang"
        chance = zlib.crc32((headers.get("webhook-id", "") + path).encode()) % 100
        how = path.split("/")[2]
        share = 2 if how == "hang" else 50
        return how if headers.get("helix-try") == "1" and chance < share else "ok"

    def _note(self, path: str, headers: Mapping[str, str], body: bytes, arrived: float) -> None:
        self._ids.add(headers.get("webhook-id", ""))
        number, tries = int(headers.get("helix-number", "0")), int(headers.get("helix-try", "0"))
        verifies = self._verifies(headers, body)
        self.rows.append(
            (path, headers.get("webhook-id", ""), number, tries, arrived, verifies, time.time() - arrived)
        )

    def _verifies(self, headers: Mapping[str, str], body: bytes) -> bool:
        try:
            self._verifier.verify(body, dict(headers))
        except (WebhookVerificationError, KeyError):
            return False
        return headers.get("x-hub-signature-256") == body_signature(body, SECRET)


async def main() -> None:
    """Serve until stdin ends."""
    receivers = Receivers()
    server = await asyncio.start_server(receivers.serve, "0.0.0.0", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(main())
