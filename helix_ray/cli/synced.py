"""helix device code, list, rename, revoke."""

from __future__ import annotations

from typing import Annotated

import typer

from helix_ray.cli.connection import connect
from helix_ray.cli.output import Json, print_json, print_table, put, say, when
from helix_ray.cli.tables import Columns

app = typer.Typer(no_args_is_help=False, help="Enrol, list, rename and revoke synced devices.")
COLUMNS = Columns(
    ("ID", "NAME", "TYPE", "USER", "ENROLLED", "LAST SEEN", "EXPIRES"),
    ("EXPIRES", "ENROLLED", "USER", "LAST SEEN"),
    "NAME",
)
DeviceId = Annotated[str, typer.Argument(metavar="ID", help="Device id, as `helix device list` shows it.")]


@app.command()
def code(as_json: Json = False) -> None:
    """Get a one-time code for a device. It is printed on standard output, and valid for ten minutes."""
    with connect() as client:
        made = client.device_code()
    if as_json:
        print_json(made)
        return
    say(f"Enter this code on the device; valid once, until {made['expires_at']}")
    put(made["code"])


@app.command("list")
def list_devices(
    user: Annotated[str | None, typer.Option(help="Devices of this user (administrators).")] = None,
    as_json: Json = False,
) -> None:
    """List your devices; administrators see those of all users."""
    with connect() as client:
        devices = client.devices(user)
    if as_json:
        print_json({"devices": devices})
        return
    rows = [
        (
            device["id"], device["name"], device["type"], device["user"], when(device["enrolled_at"]),
            when(device["last_seen_at"]), when(device["expires_at"]),
        )
        for device in devices
    ]  # fmt: skip
    print_table(COLUMNS, rows)


@app.command()
def rename(
    device_id: DeviceId,
    name: Annotated[str, typer.Argument(help="The other name of the device.")],
) -> None:
    """Rename a device."""
    with connect() as client:
        device = client.rename_device(device_id, name)
    say(f"{device['id']} is {device['name']}")


@app.command()
def revoke(device_id: DeviceId) -> None:
    """Revoke a device; requests of it are refused within a second."""
    with connect() as client:
        client.revoke_device(device_id)
    say(f"Revoked {device_id}")
