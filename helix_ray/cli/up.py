"""helix up, helix down: this process executes `python -m launcher.up`, which the library cannot import."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer

MODULE = "launcher.up"
# Flags that are unknown here are passed on.
PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True}
DataDir = Annotated[str | None, typer.Option(metavar="DIR", help="Data directory. [HELIX_DATA_DIR]")]


def up(
    ctx: typer.Context,
    host: Annotated[str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.", show_default="8080")] = None,
    data_dir: DataDir = None,
    nodes: Annotated[
        int | None, typer.Option(help="Number of Ray nodes to start here.", show_default="1")
    ] = None,
    node_resources: Annotated[
        str | None, typer.Option(metavar="JSON", help='Logical resources of each node: [{},{"GPU":1}].')
    ] = None,
    tls_cert: Annotated[
        str | None, typer.Option(metavar="FILE", help="Certificate chain in PEM; turns TLS on.")
    ] = None,
    tls_key: Annotated[str | None, typer.Option(metavar="FILE", help="Its private key.")] = None,
    plain_http: Annotated[
        bool,
        typer.Option(
            "--plain-http-on-network",
            help="Listen beyond 127.0.0.1 without TLS: passwords and tokens cross the network in clear.",
        ),
    ] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Return when it is ready.")] = False,
) -> None:
    """Start a Ray cluster on this machine with the API, or join the one that RAY_ADDRESS names."""
    values = {
        "--host": host,
        "--port": port,
        "--data-dir": data_dir,
        "--nodes": nodes,
        "--node-resources": node_resources,
        "--tls-cert": tls_cert,
        "--tls-key": tls_key,
    }
    switches = {"--plain-http-on-network": plain_http, "--detach": detach}
    become([*given(values), *(flag for flag, on in switches.items() if on), *ctx.args])


def down(ctx: typer.Context, data_dir: DataDir = None) -> None:
    """Stop everything that `helix up` started with this data directory, and nothing else."""
    become(["--down", *given({"--data-dir": data_dir}), *ctx.args])


def given(values: dict[str, Any]) -> list[str]:
    """Return the given flags as arguments."""
    return [text for flag, value in values.items() if value is not None for text in (flag, str(value))]


def become(arguments: list[str], module: str = MODULE) -> None:
    """Replace this process, so that signals to it reach the launcher itself."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, "-m", module, *arguments])  # noqa: S606 - no shell is wanted
