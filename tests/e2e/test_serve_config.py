"""The application as Serve deploys it from a configuration, which is how KubeRay does: the
builder starts the actors."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import STOP_MAX_S, free_port
from tests.e2e.live import NETWORK_PASSWORD, UNLIMITED, Live, ended, shell, submit

PROGRAM = Path(__file__).with_name("serve_config.py")


def test_a_deployed_configuration_is_the_whole_control_plane(tmp_path: Path) -> None:
    """Nothing but the configuration is given to Serve, and a task runs to its end."""
    settings = {**UNLIMITED, "admin_password": NETWORK_PASSWORD, "data_dir": tmp_path / "data"}
    given = {f"HELIX_{name.upper()}": str(value) for name, value in settings.items()}
    given |= {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
    port = free_port()
    with (tmp_path / "stderr").open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, str(PROGRAM), str(port)],
            env={**os.environ, **given},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    live = Live(process, tmp_path / "data", f"http://127.0.0.1:{port}", password=NETWORK_PASSWORD)
    with process:
        try:
            assert process.stdout is not None
            said = next((line for line in process.stdout if line == "ready\n"), None)
            assert said is not None, (tmp_path / "stderr").read_text()[-4000:]
            client = live.client()
            (task_id,) = submit(client, shell("echo served"))
            assert ended(client, task_id)["status"] == "completed"
            assert client.get(f"/tasks/{task_id}/logs").text.strip() == "served"
            client.close()
        finally:
            process.communicate(timeout=STOP_MAX_S)
