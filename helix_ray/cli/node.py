"""helix node, helix node-resources: this process executes `python -m launcher.node`, which
the library cannot import."""

from __future__ import annotations

import typer

from helix_ray.cli.up import become

MODULE = "launcher.node"
# --help too: that module knows its flags.
PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


def node(ctx: typer.Context) -> None:
    """Run this machine as a node of a cluster of several machines: start, stop (docs/cluster.md)."""
    become(ctx.args, MODULE)


def resources(ctx: typer.Context) -> None:
    """Print the options of `ray start` that describe this machine: accelerators, name, capabilities."""
    become(["resources", *ctx.args], MODULE)
