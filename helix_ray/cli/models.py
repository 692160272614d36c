"""helix model push, list, show, evidence, activate, rollback, canary, delete, download."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from helix_ray.cli.connection import connect
from helix_ray.cli.exits import Exit
from helix_ray.cli.following import telling_on_interrupt
from helix_ray.cli.model_evidence import on_class, put_reason, show_evidence
from helix_ray.cli.model_progress import ModelProgress
from helix_ray.cli.output import Json, amount, print_fields, print_json, print_table, put, say, when
from helix_ray.cli.tables import Columns

if TYPE_CHECKING:
    from helix_ray.client.api import Client
    from helix_ray.wire.models import (
        ModelOut,
        VersionLineOut,
        VersionOut,
    )

app = typer.Typer(no_args_is_help=False, help="Push models, see what was measured, activate them.")
COLUMNS = Columns(
    ("MODEL", "ACTIVE", "TUNED", "VERSIONS", "CANARIES", "PROJECT", "OWNER", "CREATED"),
    ("CREATED", "OWNER", "PROJECT", "CANARIES"),
)
# Reasons are whole lines below a table: cut in a column they say nothing.
VERSION_COLUMNS = Columns(
    ("VERSION", "STATE", "USE", "TUNED", "BYTES", "PUSHED", "BY", "VARIANTS"), ("VARIANTS", "BY", "BYTES")
)
Name = Annotated[str, typer.Argument(metavar="MODEL", help="Name of a model.")]
Number = Annotated[int, typer.Argument(metavar="VERSION", min=1, help="Number of a version.")]
OneVersion = Annotated[int | None, typer.Option("--version", min=1, help="Only this version.")]


@app.command()
def push(
    file: Annotated[
        str, typer.Argument(metavar="FILE|URL", help="An ONNX file, or where the server gets it.")
    ],
    name: Annotated[str, typer.Option("--name", help="Name of the model (default: that of the file).")] = "",
    calibration: Annotated[
        Path | None, typer.Option("--calibration", help="Inputs (.npz) to calibrate INT8 variants with.")
    ] = None,
    heldout: Annotated[
        Path | None,
        typer.Option("--heldout", help="Other inputs (.npz), perhaps with `labels`, to judge by."),
    ] = None,
    project: Annotated[str | None, typer.Option("--project", help="Its members may use it.")] = None,
    licence: Annotated[str | None, typer.Option("--licence", help="Licence of the model.")] = None,
    source: Annotated[str | None, typer.Option("--source", help="Where it comes from.")] = None,
    label: Annotated[list[str] | None, typer.Option("--label", help="NAME=VALUE; can be repeated.")] = None,
    bound: Annotated[
        list[str] | None,
        typer.Option(
            "--bound",
            help="Of the gate: min_cosine=0.99, min_top1_agreement, max_relative_error or max_accuracy_drop; "
            "can be repeated.",
        ),
    ] = None,
    activate: Annotated[bool, typer.Option("--activate", help="Activate it as soon as it is ready.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until it has been examined.")] = False,
    tuned: Annotated[
        bool, typer.Option("--tuned", help="Wait until it has been tuned as well, where it is to be.")
    ] = False,
    wait_timeout: Annotated[
        float | None,
        typer.Option("--wait-timeout", min=0, metavar="SECONDS", help="At most so long."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Push a version of a model: it is examined, and variants of it are built and judged.

    The same file again is the same version. With --wait the exit code is 1 where it is rejected.
    """
    metadata: dict[str, object] = {"licence": licence, "source": source}
    metadata["labels"] = _pairs(label, "--label")
    metadata["bounds"] = {key: _number(value, key) for key, value in _pairs(bound, "--bound").items()}
    metadata = {key: value for key, value in metadata.items() if value}
    wait = wait or tuned
    with connect(waiting=wait) as client:
        pushed = client.push_model(
            file, name or Path(file).stem.lower(), calibration=calibration, heldout=heldout,
            project_id=project, metadata=metadata, activate=activate,
        )  # fmt: skip
        named = f"{pushed['name']}@{pushed['version']}"
        if not wait:
            _say_pushed(named, pushed["examination"], pushed["created"])
            if as_json:
                print_json(pushed)
            return
        with telling_on_interrupt(pushed["examination"]):
            found = client.wait_for_model(
                pushed["name"], pushed["version"], wait_timeout, tuned=tuned, on_change=ModelProgress()
            )
        _show_version(found, as_json)
    if found["state"] != "ready":
        raise typer.Exit(Exit.TASK_FAILED)


def _say_pushed(named: str, examination: str, created: bool) -> None:
    if created:
        say(f"{named}: is examined by {examination}; to see what was found: helix model show {named}")
    else:
        say(f"{named} has these files already")


@app.command("list")
def list_models(as_json: Json = False) -> None:
    """List the models that you may use."""
    with connect() as client:
        models = client.models()
    if as_json:
        print_json({"models": models})
    else:
        print_table(COLUMNS, [_row(model) for model in models])


@app.command()
def show(name: Name, as_json: Json = False) -> None:
    """Show a model and its versions; MODEL@VERSION shows one version."""
    with connect() as client:
        if "@" in name:
            model, version = _split(name)
            _show_version(client.model_version(model, version), as_json)
        else:
            _show(client.model(name), as_json)


@app.command()
def evidence(name: Name, version: OneVersion = None, as_json: Json = False) -> None:
    """Show what the gate measured of each variant, and what the tuner chose on each class of nodes."""
    if "@" in name:
        name, version = _split(name)
    with connect() as client:
        found = client.model_evidence(name, version)
    if as_json:
        print_json(found)
        return
    show_evidence(found)


@app.command()
def activate(name: Name, version: Number, as_json: Json = False) -> None:
    """Make a ready version active: tasks submitted from then on get it."""
    with connect() as client:
        _show(client.activate_model(name, version), as_json)


@app.command()
def rollback(name: Name, as_json: Json = False) -> None:
    """Make the version active again that was active before."""
    with connect() as client:
        _show(client.roll_back_model(name), as_json)


@app.command()
def canary(
    name: Name,
    version: Number,
    percent: Annotated[float, typer.Argument(metavar="PERCENT", min=0, max=100, help="0 ends it.")],
    as_json: Json = False,
) -> None:
    """Give a version a percentage of the tasks that name only the model."""
    with connect() as client:
        _show(client.set_canary(name, version, percent), as_json)


@app.command()
def delete(name: Name, version: OneVersion = None) -> None:
    """Delete a model with all its versions; MODEL@VERSION or --version deletes one version."""
    if "@" in name:
        name, version = _split(name)
    with connect() as client:
        if version is None:
            client.delete_model(name)
            say(f"Deleted {name}")
        else:
            client.delete_model_version(name, version)
            say(f"Deleted {name}@{version}")


@app.command()
def download(
    name: Name,
    to: Annotated[Path | None, typer.Argument(metavar="FILE", help="Default: MODEL-VERSION.onnx.")] = None,
    version: Annotated[int | None, typer.Option("--version", min=1, help="Default: the active one.")] = None,
    variant: Annotated[str | None, typer.Option("--variant", help="A variant, such as int8-dynamic.")] = None,
) -> None:
    """Download the file of a version, as it was pushed or as a variant; its SHA-256 is checked."""
    if "@" in name:
        name, version = _split(name)
    with connect() as client:
        number = version or _active(client, name)
        shown = f"{name}-{number}{'-' + variant if variant else ''}.onnx"
        target = to or Path(shown)
        size = client.download_model(name, number, target, variant=variant)
    say(f"{target}: {size} bytes of {name}@{number}")


def _active(client: Client, name: str) -> int:
    active = client.model(name)["active"]
    if active is None:
        raise typer.BadParameter(f"{name} has no active version: name one with --version")
    return active


def _split(text: str) -> tuple[str, int]:
    name, _, number = text.partition("@")
    if not number.isdecimal():
        raise typer.BadParameter(f"{text} is not MODEL@VERSION")
    return name, int(number)


def _pairs(texts: list[str] | None, option: str) -> dict[str, str]:
    pairs = {}
    for text in texts or ():
        key, separator, value = text.partition("=")
        if not key or not separator:
            raise typer.BadParameter(f"{text} is not NAME=VALUE", param_hint=option)
        pairs[key] = value
    return pairs


def _number(text: str, name: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(f"{name}: {text} is not a number", param_hint="--bound") from None


def _show(model: ModelOut, as_json: bool) -> None:
    if as_json:
        print_json(model)
        return
    print_table(COLUMNS, [_row(model)])
    put("")
    print_table(VERSION_COLUMNS, [_version_row(model, number) for number in range(len(model["versions"]))])
    for each in model["versions"]:
        named = f"{model['name']}@{each['version']}"
        put_reason(named, each["state"], each["reason"])
        for tuning in each["tunings"]:
            put(on_class(named, tuning))


def _row(model: ModelOut) -> tuple[str, ...]:
    canaries = " ".join(f"{each['version']}:{amount(each['percent'])} %" for each in model["canaries"])
    alive = sum(each["state"] != "deleted" for each in model["versions"])
    active = [each for each in model["versions"] if each["version"] == model["active"]]
    return (
        model["name"], str(model["active"] or ""), "".join(map(_tuned, active)), str(alive), canaries,
        model["project_id"] or "", model["owner"], when(model["created_at"]),
    )  # fmt: skip


def _version_row(model: ModelOut, place: int) -> tuple[str, ...]:
    version = model["versions"][place]
    number = version["version"]
    percent = {each["version"]: each["percent"] for each in model["canaries"]}.get(number)
    use = "active" if model["active"] == number else f"{amount(percent)} %" if percent else ""
    return (
        str(number), version["state"], use, _tuned(version), str(version["bytes"]),
        when(version["pushed_at"]), version["pushed_by"], " ".join(version["variants"]),
    )  # fmt: skip


def _show_version(version: VersionOut, as_json: bool) -> None:
    if as_json:
        print_json(version)
        return
    print_fields(
        {
            "version": f"{version['name']}@{version['version']}",
            "state": version["state"],
            "reason": version["reason"],
            "active": "yes" if version["active"] else "no",
            "canary": f"{amount(version['canary_percent'])} %" if version["canary_percent"] else None,
            "sha256": version["sha256"],
            "bytes": version["bytes"],
            "pushed": f"{when(version['pushed_at'])} by {version['pushed_by']}",
            "examination": version["examination"],
            "opset": version["opset"],
            "batch": version["batch"],
            "inputs": version["inputs"],
            "outputs": version["outputs"],
            "metadata": version["metadata"],
            "warnings": "\n".join(version["warnings"]),
            "variants": " ".join(each["name"] for each in version["variants"] if each["state"] == "ready"),
            "tuned": "\n".join(on_class("", each).lstrip() for each in version["tunings"]),
        }
    )


def _tuned(version: VersionLineOut) -> str:
    """Say on how many classes of nodes a version is tuned, of those that it has met."""
    done = sum(each["state"] == "tuned" for each in version["tunings"])
    return f"{done} of {len(version['tunings'])}" if version["tunings"] else ""
