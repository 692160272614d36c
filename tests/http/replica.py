"""A process that serves as an API replica does, without Ray: it fetches the public
socket and answers who asked.

`python tests/http/replica.py [CERT KEY]`, with HELIX_PUBLIC_SOCKET in the environment.
"""

from __future__ import annotations

import asyncio
import os
import sys
from types import SimpleNamespace
from typing import Any

import orjson
import uvloop

from serve_app.public_port import listening

SLOW = "/slow"


async def answer(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Say which process answers, and whom; on SLOW with a body, when the whole of it has come."""
    while scope["path"] == SLOW and (await receive()).get("more_body", False):
        pass
    body = orjson.dumps({"pid": os.getpid(), "client": scope["client"], "scheme": scope["scheme"]})
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def main() -> None:
    """Serve until killed."""
    cert, key = sys.argv[1:] or (None, None)
    options = SimpleNamespace(
        host="127.0.0.1",
        port=1,
        middlewares=[],
        root_path="",
        keep_alive_timeout_s=75,
        ssl_certfile=cert,
        ssl_keyfile=key,
        ssl_keyfile_password=None,
        ssl_ca_certs=None,
    )
    task, _ = await listening.start_replica(answer, options, event_loop=asyncio.get_running_loop())
    print("up", flush=True)
    await task


if __name__ == "__main__":
    uvloop.run(main())
