"""What a node's heartbeat says of its host and its devices."""

from __future__ import annotations

import asyncio
import http.server
import threading
from collections.abc import Iterator

import pytest

from actors.usage import NodeOffer, NodeUsage
from helix_ray.accelerators import all_smi
from tests.ray.signals import until

METRICS = b"""all_smi_gpu_utilization{gpu="RBLN-CA22", uuid="u-1", index="0"} 25.5
all_smi_gpu_memory_total_bytes{gpu="RBLN-CA22", uuid="u-1", index="0"} 17179869184
"""


class Metrics(http.server.BaseHTTPRequestHandler):
    """Answers as all-smi does; `/broken` as one that fails, `/large` as one that never ends."""

    def do_GET(self) -> None:
        body = METRICS if self.path != "/large" else b"x" * (all_smi.METRICS_BYTES_MAX + 500_000)
        self.send_response(500 if self.path == "/broken" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    """Serve metrics on a free port."""
    server = http.server.HTTPServer(("127.0.0.1", 0), Metrics)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_devices_are_in_heartbeats_as_soon_as_they_are_sampled(url: str) -> None:
    """The heartbeat takes the last sample, which a thread of its own has taken."""
    offer: NodeOffer = {
        "worker_id": "worker-a", "node_id": "a" * 56, "hostname": "h", "resources": {"cpu": 2.0},
        "labels": {}, "capabilities": [],
    }  # fmt: skip
    usage = NodeUsage(offer, f"{url}/metrics")
    try:
        until(lambda: bool(asyncio.run(usage.read()).get("devices")))
        device = next(d for d in asyncio.run(usage.read())["devices"] if d["source"] == "all-smi")
    finally:
        usage.stop()
    assert (device["kind"], device["name"], device["utilization"]) == ("npu", "RBLN-CA22", 25.5)
    assert device["memory_total_mb"] == 16384
    assert asyncio.run(usage.read())["memory_total"] > 0


def test_metrics_that_cannot_be_read(url: str) -> None:
    """A failure is one, nothing at all is one, and what never ends is cut."""
    for path in (f"{url}/broken", "http://127.0.0.1:1/metrics"):
        with pytest.raises(OSError, match=path):
            all_smi.fetch(path)
    assert len(all_smi.fetch(f"{url}/large")) <= all_smi.METRICS_BYTES_MAX + 65_536
