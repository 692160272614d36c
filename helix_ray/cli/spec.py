"""Parses command-line options into the fields of a task. Every error names its option."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from helix_ray import plain
from helix_ray.cli import habits
from helix_ray.core.specs import Resources, Shards

# Resources with fields of their own; all others are custom resources of the cluster.
RESOURCES = frozenset({"cpu", "memory_mb", "gpu", "gpu_memory_mb", "npu"})


# Amounts of memory may be given as sizes: `memory=1G`.
SIZES = {
    "memory": "memory_mb",
    "memory_mb": "memory_mb",
    "gpu_memory": "gpu_memory_mb",
    "gpu_memory_mb": "gpu_memory_mb",
}

# Exporters name inputs `input.1`, `input_1:0` or `onnx::Gemm_0`; JSON and paths begin with none of these.
_NAMED = re.compile(r"[A-Za-z_][^\s=\"\[{/]*=")


def refuse(option: str, message: str) -> typer.BadParameter:
    """Return the error for an option's value."""
    return typer.BadParameter(f"{option}: {message}")


def pairs(option: str, texts: Sequence[str]) -> dict[str, str]:
    """Read `name=value` texts."""
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise refuse(option, f"{text!r} is not in the form name=value")
        found[name] = value
    return found


def json_value(option: str, text: str | bytes) -> Any:
    """Read a JSON value with exact numbers."""
    raw = text.encode(errors="surrogateescape") if isinstance(text, str) else text
    try:
        return plain.read(raw)
    except plain.NameRepeated as error:
        raise refuse(option, str(error)) from None
    except json.JSONDecodeError as error:
        shown = raw.decode(errors="backslashreplace")
        raise refuse(
            option, f"{shown!r} is not valid JSON ({error}); text must be quoted: '\"{shown}\"'"
        ) from None


def amounts(option: str, texts: Sequence[str]) -> dict[str, float]:
    """Read `cpu=1,gpu=1` texts."""
    found: dict[str, float] = {}
    for name, value in pairs(option, [part for text in texts for part in text.split(",") if part]).items():
        try:
            size = habits.mebibytes(value)
            if size is not None and name in SIZES:
                found[SIZES[name]] = size
            else:
                found[name] = int(value) if value.isdigit() else float(value)
        except ValueError:
            raise refuse(option, f"{name}={value}: the amount must be a number") from None
    return found


def resources(texts: Sequence[str]) -> Resources:
    """Read amounts as the resources of a task."""
    found: Resources = {}
    for name, amount in amounts("--resources", texts).items():
        if name in RESOURCES:
            found[name] = amount  # type: ignore[literal-required]
        else:
            found.setdefault("custom", {})[name] = amount
    return found


def shards(count: int | None, gang: bool) -> Shards | None:
    """Return the `shards` of a task; None for a task without shards."""
    if count is None:
        if gang:
            raise refuse("--gang", "can only be used with --shards")
        return None
    return {"count": count, "gang": True} if gang else {"count": count}


def model_inputs(texts: Sequence[str], option: str = "--inputs") -> Any:
    """Read inputs: one value, or `name=value` for each input of the model. A value is a .npy
    or .json file, or JSON."""
    if not texts:
        raise refuse(option, "a model requires inputs")
    named = [text for text in texts if _NAMED.match(text)]
    if not named and len(texts) == 1:
        return _input(option, texts[0])
    if len(named) != len(texts):
        raise refuse(option, f"several inputs must be given by name: {option} name=value")
    return {name: _input(option, value) for name, value in pairs(option, texts).items()}


def _input(option: str, text: str) -> Any:
    if text.endswith((".npy", ".json")):
        data = read_bytes(option, text)
        return _npy(option, data) if text.endswith(".npy") else json_value(option, data)
    return json_value(option, text)


def _npy(option: str, data: bytes) -> dict[str, str]:
    """Return a .npy file in the API's form; the server checks its content."""
    from base64 import b64encode

    if not data.startswith(b"\x93NUMPY"):
        raise refuse(option, "not a .npy file")
    return {"npy_base64": b64encode(data).decode()}


def read_bytes(option: str, name: str) -> bytes:
    """Read a file, or standard input for `-`."""
    try:
        return sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise refuse(option, f"{name} cannot be read: {error.strerror}") from None


def tasks_file(name: str) -> list[dict[str, Any]]:
    """Read a batch: a JSON list of tasks, `{"tasks": [...]}`, or one task on each line."""
    text = read_bytes("--file", name)
    try:
        value = plain.read(text)
    except plain.NameRepeated as error:
        raise refuse("--file", f"{name}: {error}") from None
    except json.JSONDecodeError:
        value = [json_value("--file", line) for line in text.splitlines() if line.strip()]
    if isinstance(value, dict):
        value = value.get("tasks", [value])
    if not isinstance(value, list) or not value or not all(isinstance(task, dict) for task in value):
        raise refuse("--file", f"{name} does not contain a list of tasks")
    return value
