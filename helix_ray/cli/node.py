"""helix node, helix node-resources: this process becomes `python -m
launcher.node`, outside the library's ring."""

from __future__ import annotations

import typer

from helix_ray.cli.up import become

MODULE = "launcher.node"
# --help too: that module knows its flags.
PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


def node(ctx: typer.Context) -> None:
    """Keep this machine up as a node of a cluster of several: start, stop (docs/cluster.md)."""
    become(ctx.args, MODULE)


def resources(ctx: typer.Context) -> None:
    """Show print the options of `ray start` that describe this machine: accelerators, name, capabilities."""
    become(["resources", *ctx.args], MODULE)
