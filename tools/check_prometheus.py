"""Has a real Prometheus scrape a server, evaluate the alert rules, and answer every query of the dashboard.

    apt-get install prometheus
    python tools/check_prometheus.py http://127.0.0.1:8080 [--token-file FILE]

`promtool` checks the rules and runs deploy/prometheus-rules.test.yaml first. Without a token it must run on
the server's machine, as /metrics asks.
"""

from __future__ import annotations

import argparse
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import yaml

DEPLOY = Path(__file__).parents[1] / "deploy"
RULES = DEPLOY / "prometheus-rules.yaml"
START_S_MAX = 60.0


def free_port() -> int:
    """Return a port of the loopback that is free."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def configuration(server: str, token_file: str | None) -> dict[str, Any]:
    """Return a configuration that scrapes a server each second."""
    parts = urlsplit(server)
    job: dict[str, Any] = {
        "job_name": "helix-ray", "scheme": parts.scheme, "static_configs": [{"targets": [parts.netloc]}],
    }  # fmt: skip
    if token_file is not None:
        job["authorization"] = {"credentials_file": token_file}
    return {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(RULES)],
        "scrape_configs": [job],
    }


@contextmanager
def prometheus(config: dict[str, Any]) -> Iterator[httpx.Client]:
    """Run Prometheus in a folder of its own."""
    address = f"127.0.0.1:{free_port()}"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "prometheus.yaml")
        path.write_text(yaml.safe_dump(config))
        process = subprocess.Popen([
            "prometheus", f"--config.file={path}", f"--storage.tsdb.path={folder}/data", "--log.level=warn",
            f"--web.listen-address={address}",
        ])  # fmt: skip
        try:
            with httpx.Client(base_url=f"http://{address}/api/v1", timeout=10.0) as client:
                yield client
        finally:
            process.terminate()
            process.wait()


def until(client: httpx.Client, path: str, found: str, **params: str) -> list[dict[str, Any]]:
    """Return the list `found` under a path when it has something, and the health of all of it is known."""
    end = time.monotonic() + START_S_MAX
    while time.monotonic() < end:
        try:
            rows = client.get(path, params=params).raise_for_status().json()["data"][found]
        except httpx.HTTPError:
            rows = []
        rows = [row for each in rows for row in each.get("rules", [each])]
        if rows and all(row.get("health") != "unknown" for row in rows):
            return rows
        time.sleep(0.2)
    raise SystemExit(f"{path} {params} has nothing after {START_S_MAX:.0f} s")


def queries() -> Iterator[tuple[str, str]]:
    """Yield the queries of the dashboard, with the titles of their panels."""
    for panel in json.loads((DEPLOY / "grafana-dashboard.json").read_bytes())["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


def main() -> int:
    """Print what each query found, and what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("server")
    parser.add_argument("--token-file", help="A file with a token, for another machine's server.")
    given = parser.parse_args()
    subprocess.run(["promtool", "check", "rules", RULES], check=True)
    subprocess.run(["promtool", "test", "rules", RULES.with_suffix(".test.yaml")], check=True)
    wrong = 0
    with prometheus(configuration(given.server, given.token_file)) as client:
        (target,) = until(client, "/targets", "activeTargets")
        print(f"{target['scrapeUrl']}: {target['health']} {target['lastError']}")
        wrong += target["health"] != "up"
        # Rates take two scrapes at least.
        until(client, "/query", "result", query="count_over_time(up[5m]) > 5")
        for rule in until(client, "/rules", "groups"):
            wrong += rule["health"] != "ok"
            print(f"rule {rule['name']}: {rule['health']}, {rule['state']} {rule.get('lastError', '')}")
        for title, query in queries():
            answer = client.get("/query", params={"query": query}).json()
            wrong += answer["status"] != "success"
            found = answer.get("error") or f"{len(answer['data']['result'])} series"
            print(f"panel {title}: {found} for {query}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
