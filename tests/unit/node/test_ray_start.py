"""The command line of `ray start` is one that this Ray takes, and its environment has no secrets in it."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from ray.scripts.scripts import start

from actors.node_worker import NODE_DATA_DIR
from launcher.node.ray_start import RayStartPlan, below, command

HEAD = RayStartPlan(
    address=None,
    node_ip="10.0.0.1",
    port=6379,
    api_port=8080,
    data_dir=Path("/data"),
    autoscaling_config="~/config.yaml",
    declared=["--labels=helix-node=a"],
    more=["--num-cpus=2"],
)
WORKER = RayStartPlan(
    address="10.0.0.1:6379",
    node_ip="10.0.0.2",
    port=6379,
    api_port=8080,
    data_dir=Path("/data"),
    autoscaling_config=None,
    declared=["--labels=helix-node=b"],
    more=[],
)


@pytest.mark.parametrize("plan", [HEAD, WORKER])
def test_ray_knows_every_flag(plan: RayStartPlan) -> None:
    """Parsed by Ray's own command, without running it."""
    words = command(plan)
    assert words[1:3] == ["start", "--block"]
    assert isinstance(start, click.Command)
    context = start.make_context("start", words[2:])
    assert context.params["node_ip_address"] == plan.node_ip
    assert context.params["head"] == (plan.address is None)
    assert plan.head_address == "10.0.0.1:6379"


def test_the_environment_keeps_the_token_on_and_the_password_out() -> None:
    """Tasks run below: they inherit this."""
    made = below(WORKER, {"HELIX_ADMIN_PASSWORD": "secret", "PATH": "/bin", "RAY_AUTH_MODE": "disabled"})
    assert "HELIX_ADMIN_PASSWORD" not in made
    assert (made["RAY_AUTH_MODE"], made["PATH"], made[NODE_DATA_DIR]) == ("token", "/bin", "/data")
    assert made["RAY_enable_autoscaler_v2"] == "0"
    assert made["RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT"] == "8080"
