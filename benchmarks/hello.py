"""The anchor of HTTP: FastAPI's hello world on bare Ray Serve, in the serving mode that `helix up` uses.

`python -m benchmarks.hello PORT FOLDER` keeps what Ray writes in the folder and prints `ready` when requests
are served; SIGTERM ends it.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ray import serve


def main() -> int:
    """Serve until SIGTERM."""
    port, folder = int(sys.argv[1]), sys.argv[2]
    # Serve reads these where it is imported.
    os.environ |= {
        "RAY_SERVE_ENABLE_DIRECT_INGRESS": "1",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(port),
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(port + 1),
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: stopped.set())
    import ray
    from ray import serve
    from ray.serve.config import HTTPOptions

    ray.init(
        num_cpus=1,
        include_dashboard=False,
        object_store_memory=128 << 20,
        log_to_driver=False,
        logging_level=logging.ERROR,
        _temp_dir=folder,
    )
    serve.start(http_options=HTTPOptions(host="127.0.0.1", port=0))
    serve.run(application(), name="hello", route_prefix="/")
    print("ready", flush=True)
    stopped.wait()
    serve.shutdown()
    ray.shutdown()
    return 0


def application() -> serve.Application:
    """Return the hello world deployment, with the replica options that ours has."""
    from fastapi import FastAPI
    from ray import serve

    def build() -> FastAPI:
        app = FastAPI()

        @app.get("/")
        async def hello() -> dict[str, str]:
            return {"hello": "world"}

        return app

    @serve.deployment(num_replicas=1, max_ongoing_requests=4096, ray_actor_options={"num_cpus": 0})
    @serve.ingress(build)
    class Hello:
        """One replica."""

    # The decorator's type is the plain class.
    bound: serve.Application = Hello.bind()  # type: ignore[attr-defined]
    return bound


if __name__ == "__main__":
    sys.exit(main())
