"""The `helix` program: registers the commands. Those that need httpx, rich or numpy import them."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from helix_ray.cli import (
    acceleration,
    audit,
    audit_compare,
    audit_forward,
    audit_proofs,
    audit_witness,
    backup,
    cluster,
    datasets,
    erasures,
    events,
    journal,
    login,
    model_run,
    models,
    node,
    projects,
    quotas,
    security,
    sessions,
    synced,
    system,
    tasks,
    tokens,
    up,
    users,
    webhook_local,
    webhooks,
    workers,
)
from helix_ray.cli.exits import CommandGroup, HelixGroup
from helix_ray.cli.output import put

app = typer.Typer(
    name="helix",
    cls=HelixGroup,
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=(
        "Distributed AI work on a Ray cluster. Log in with `helix login`; exit codes are listed in "
        "docs/cli.md."
    ),
)


def _version(asked: bool) -> None:
    if asked:
        put(f"helix {version('helix-ray')}")
        raise typer.Exit


@app.callback()
def root(
    ctx: typer.Context,
    show_version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Show the help when no command is named."""
    if ctx.invoked_subcommand is None:
        put(ctx.get_help())


app.command(context_settings=up.PASS_ON)(up.up)
app.command(context_settings=up.PASS_ON)(up.down)
app.command(context_settings=node.PASS_ON)(node.node)
app.command()(backup.backup)
app.command()(backup.restore)
app.command("node-resources", context_settings=node.PASS_ON)(node.resources)
app.command()(acceleration.acceleration)
app.command()(system.system)
app.command()(security.security)
app.command()(login.login)
app.command()(login.logout)
app.command()(login.whoami)
app.command()(events.watch)
app.add_typer(tasks.app, name="task", cls=CommandGroup)
models.app.command("run")(model_run.run)
app.add_typer(models.app, name="model", cls=CommandGroup)
app.add_typer(datasets.app, name="dataset", cls=CommandGroup)
app.add_typer(workers.app, name="worker", cls=CommandGroup)
app.add_typer(cluster.app, name="cluster", cls=CommandGroup)
app.add_typer(projects.app, name="project", cls=CommandGroup)
app.add_typer(quotas.app, name="quota", cls=CommandGroup)
app.add_typer(users.app, name="user", cls=CommandGroup)
app.add_typer(tokens.app, name="token", cls=CommandGroup)
app.add_typer(sessions.app, name="session", cls=CommandGroup)
app.add_typer(synced.app, name="device", cls=CommandGroup)
webhooks.app.command("listen")(webhook_local.listen)
webhooks.app.command("trigger")(webhook_local.trigger)
app.add_typer(webhooks.app, name="webhook", cls=CommandGroup)
app.add_typer(erasures.app, name="erase", cls=CommandGroup)
app.add_typer(journal.app, name="journal", cls=CommandGroup)
audit_proofs.app.command("list")(audit.list_audit)
audit_proofs.app.command("acknowledge")(audit.acknowledge)
audit_proofs.app.command("forward")(audit_forward.forward)
audit_proofs.app.command("compare")(audit_compare.compare)
audit_proofs.app.command("witness")(audit_witness.witness)
app.add_typer(audit_proofs.app, name="audit", cls=CommandGroup)

if __name__ == "__main__":
    app()
