"""examples/devices/sync.js in a page of a real browser, whose state is in IndexedDB and survives kill -9.

The page has one origin for everything: it is served here, and what it asks of the API is passed on.
"""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx

HERE = Path(__file__).parent
FILES = {
    "/": (HERE / "device_page.html", "text/html"),
    "/device_driver.js": (HERE / "device_driver.js", "text/javascript"),
    "/sync.js": (HERE.parents[1] / "examples" / "devices" / "sync.js", "text/javascript"),
}
API = "/api/v1"
PASSED_ON = ("Authorization", "Content-Type")
KILLED: Any = object()
ANSWER_S_MAX = 60.0


class Browser:
    """A browser with a page that is asked line by line; killed, it opens the page again with what it kept."""

    def __init__(self, program: str, url: str, file: Path) -> None:
        self._answers: queue.Queue[Any] = queue.Queue()
        self._server = _Server(url.removesuffix(API), file, self._answers)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self._command = [
            program,
            "--no-sandbox",
            "--disable-gpu",
            "--remote-debugging-port=0",
            f"--user-data-dir={file.with_suffix('.browser')}",
            f"http://127.0.0.1:{self._server.server_port}/",
        ]
        self._open()

    def _open(self) -> None:
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )

    def ask(self, line: str) -> str | None:
        """Return the answer of the page; None where it was killed instead."""
        self._server.lines.put(line)
        answer = self._answers.get(timeout=ANSWER_S_MAX)
        if answer is not KILLED:
            return str(answer)
        self._kill()
        self._open()
        return None

    def close(self) -> None:
        """Kill the browser, and stop serving its page."""
        self._kill()
        self._server.shutdown()
        self._server.server_close()

    def _kill(self) -> None:
        """Kill all of its processes at once."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, api: str, kept: Path, answers: queue.Queue[Any]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.api = httpx.Client(base_url=api, timeout=ANSWER_S_MAX)
        self.kept = kept
        self.lines: queue.Queue[str] = queue.Queue()
        self.answers = answers

    def server_close(self) -> None:
        super().server_close()
        self.api.close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        if self.path.startswith(API):
            self._pass_on("GET", None)
        elif self.path == "/kept":
            self._answer(200, self.server.kept.read_bytes(), "application/json")
        elif self.path == "/next":
            self._next()
        elif self.path == "/kill":
            # Not answered: the page goes no further.
            self.server.answers.put(KILLED)
        elif self.path in FILES:
            file, kind = FILES[self.path]
            self._answer(200, file.read_bytes(), kind)
        else:
            self._answer(404, b"", "text/plain")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path.startswith(API):
            self._pass_on("POST", body)
        else:
            self._answer(200, b"null", "application/json")
            self.server.answers.put(body.decode())

    def _next(self) -> None:
        line = "null"
        # A page that was killed while it waited must not take the line of the next one.
        with suppress(queue.Empty):
            line = self.server.lines.get(timeout=1.0)
        self._answer(200, line.encode(), "application/json")

    def _pass_on(self, method: str, body: bytes | None) -> None:
        headers = {name: self.headers[name] for name in PASSED_ON if name in self.headers}
        answer = self.server.api.request(method, self.path, content=body, headers=headers)
        self._answer(answer.status_code, answer.content, answer.headers["content-type"])

    def _answer(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: Any) -> None:
        """Say nothing of requests."""
