"""Parses a `run` object of kind `command`, before anything starts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from helix_ray.core.sealed import is_sealed
from helix_ray.core.stdin import decoded

SHELL = "/bin/sh"

_KEYS = {
    "kind", "argv", "shell", "env", "stdin", "stdin_base64", "working_dir", "timeout_s", "kill_grace_s",
    "network",
}  # fmt: skip


class BadCommand(ValueError):
    """The run object cannot be run as a command; the message says which field and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandSpec:
    """A command ready to start: argv[0] still as given, working_dir None for the attempt's own folder.

    `stdin`: what it reads from its standard input. `kill_grace_s`: from SIGTERM to SIGKILL, in seconds; None
    for the operator's default. `network`: whether it may use the network.
    """

    argv: tuple[str, ...]
    env: dict[str, str] = field(repr=False)
    working_dir: str | None
    timeout_s: float | None
    kill_grace_s: float | None = None
    network: bool = True
    stdin: bytes = field(default=b"", repr=False)


def parse(run: Mapping[str, object]) -> CommandSpec:
    """Parse a run object; raises BadCommand.

    Exactly one of `argv` (list of text) and `shell` (a line for /bin/sh -c) is given.
    """
    unknown = sorted(set(run) - _KEYS)
    if unknown:
        raise BadCommand(f"unknown fields: {', '.join(unknown)}")
    return CommandSpec(
        argv=_argv(run),
        env=_env(run),
        working_dir=_working_dir(run),
        timeout_s=timeout_s(run),
        kill_grace_s=_kill_grace_s(run),
        network=_network(run),
        stdin=_stdin(run),
    )


def timeout_s(run: Mapping[str, object]) -> float | None:
    """Return the run object's own timeout in seconds; raises BadCommand where it is not a positive number."""
    value = run.get("timeout_s")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise BadCommand(f"timeout_s must be a number above 0, not {value!r}")
    return float(value)


def _kill_grace_s(run: Mapping[str, object]) -> float | None:
    value = run.get("kill_grace_s")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        raise BadCommand(f"kill_grace_s must be a number of at least 0, not {value!r}")
    return float(value)


def _network(run: Mapping[str, object]) -> bool:
    value = run.get("network")
    if value is not None and not isinstance(value, bool):
        raise BadCommand(f"network must be true or false, not {value!r}")
    return value is not False


def _argv(run: Mapping[str, object]) -> tuple[str, ...]:
    argv, shell = run.get("argv"), run.get("shell")
    if (argv is None) == (shell is None):
        raise BadCommand("a command must have either argv or shell")
    if shell is not None:
        return (SHELL, "-c", _text("shell", shell))
    if not isinstance(argv, list | tuple) or not argv:
        raise BadCommand("argv must be a list of strings with at least one entry")
    words = tuple(_text(f"argv[{index}]", word) for index, word in enumerate(argv))
    if not words[0]:
        raise BadCommand("argv[0] must not be empty")
    return words


def _env(run: Mapping[str, object]) -> dict[str, str]:
    env = run.get("env")
    if env is None:
        return {}
    if not isinstance(env, dict):
        raise BadCommand("env must be an object of strings")
    for name, value in env.items():
        if not isinstance(name, str) or not name or "=" in name:
            raise BadCommand(f"env: {name!r} is not a valid variable name")
        _text(f"env.{name}", name)
        _unsealed(f"env.{name}", _text(f"env.{name}", value))
    return dict(env)


def _stdin(run: Mapping[str, object]) -> bytes:
    text, encoded = run.get("stdin"), run.get("stdin_base64")
    if text is not None and encoded is not None:
        raise BadCommand("only one of stdin and stdin_base64 can be given")
    name, value = ("stdin", text) if encoded is None else ("stdin_base64", encoded)
    if value is None:
        return b""
    if not isinstance(value, str):
        raise BadCommand(f"{name} must be a string")
    _unsealed(name, value)
    try:
        return decoded(value) if name == "stdin_base64" else value.encode()
    except ValueError as error:
        raise BadCommand(f"{name}: {error}") from error


def _unsealed(name: str, value: str) -> None:
    """Refuse a secret value that could not be opened: the command must not run with what is sealed."""
    if is_sealed(value):
        raise BadCommand(f"{name} was sealed with a key that the server no longer has: submit it again")


def _working_dir(run: Mapping[str, object]) -> str | None:
    folder = run.get("working_dir")
    if folder is None:
        return None
    folder = _text("working_dir", folder)
    if not os.path.isabs(folder):
        raise BadCommand(f"working_dir must be an absolute path, not {folder!r}")
    return folder


def _text(field: str, value: Any) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise BadCommand(f"{field} must be a string without NUL characters")
    return value
