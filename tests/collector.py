"""A real HTTP receiver of OTLP: it parses every export, and answers as `statuses` say, then with 200."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

Attributes = dict[str, str | int | float]


class Collector:
    """What has arrived; every read waits for it."""

    def __init__(self, statuses: list[int]) -> None:
        self._statuses = statuses
        self._news = threading.Condition()
        self.url = ""
        self.spans: list[Span] = []
        self.resources: list[Attributes] = []
        self.headers: list[dict[str, str]] = []

    def take(self, path: str, headers: dict[str, str], body: bytes) -> int:
        """Take an export and return the status of the answer."""
        status = self._statuses.pop(0) if self._statuses else 200
        if path != "/v1/traces":
            status = 404
        with self._news:
            self.headers.append(headers)
            if status == 200:
                for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                    self.resources.append(attributes(resource.resource))
                    self.spans += [span for scope in resource.scope_spans for span in scope.spans]
            self._news.notify_all()
        return status

    def wait(self, count: int, name: str = "", timeout_s: float = 20.0) -> list[Span]:
        """Return the spans (of a name) when there are so many."""

        def found() -> list[Span]:
            return [span for span in self.spans if not name or span.name == name]

        with self._news:
            assert self._news.wait_for(lambda: len(found()) >= count, timeout_s), self.spans
            return found()


def attributes(of: object) -> Attributes:
    """Return attributes as values."""
    pairs = getattr(of, "attributes")  # noqa: B009
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


@contextmanager
def collecting(*statuses: int) -> Iterator[Collector]:
    """Run a collector."""
    collector = Collector(list(statuses))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            self.send_response(collector.take(self.path, headers, body))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        collector.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield collector
        finally:
            server.shutdown()
