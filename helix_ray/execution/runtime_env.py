"""The runtime environment of a function: what Ray sets up for the process that runs it.

It is a JSON text in the run of its task, and sealed at rest, for its variables may be secrets (ADR 63).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from helix_ray.core.sealed import is_sealed
from helix_ray.core.secrets import MASK
from helix_ray.core.specs import JsonObject, TaskError

SETUP_S_MAX = 600.0
"""How long Ray takes for an environment at most, in seconds, unless the environment's `config` says more."""

REASON = "environment"
"""The reason of a task that failed because its environment cannot be set up."""

UPLOADED = "gcs://"

WHY_CHARS_MAX, SAID_CHARS_MAX = 1_000, 8_000

HIDDEN_CHARS_MIN = 6
"""Values of variables that are shorter than this are not hidden: they would match too much of a text."""

HOOK_VARIABLE = "__RAY_WORKER_PROCESS_SETUP_HOOK_ENV_VAR"
"""How Ray passes a `worker_process_setup_hook`; the value is a name."""

# What takes its time; a process without these starts like any other.
INSTALLED = frozenset({"working_dir", "py_modules", "pip", "uv", "conda"})

USER_OF_URL = re.compile(r"(?<=://)[^/\s]+(?=@)")
"""A name and a password, or a token, in the address of an index, an archive or a repository."""

GONE = "Failed to download runtime_env file package"
NO_PACKAGE = "Ray no longer has the folder that its program uploaded: submit the task again"


@dataclass(frozen=True, slots=True)
class RuntimeEnv:
    """An environment; two of them are the same if their texts are."""

    digest: str
    text: str = field(repr=False, compare=False)

    def fields(self) -> JsonObject:
        """Return its fields, as Ray's option `runtime_env` takes them; raises ValueError where it is sealed
        with a key that is not here."""
        if is_sealed(self.text):
            raise ValueError(
                "runtime_env was sealed with a key that the control plane does not have: copy env.secret "
                "to its data directory, or submit the task again"
            )
        fields: JsonObject = json.loads(self.text)
        return fields

    @property
    def packages(self) -> list[str]:
        """Return its uploaded folders."""
        return [] if is_sealed(self.text) else packages_of(self.fields())

    @property
    def setup_s_max(self) -> float:
        """Return how long Ray may take to set it up, in seconds."""
        if is_sealed(self.text) or INSTALLED.isdisjoint(fields := self.fields()):
            return 0.0
        config = fields.get("config") or {}
        own = config.get("setup_timeout_seconds", SETUP_S_MAX)
        return float(own) if own > 0 else math.inf


def runtime_env_of(text: object) -> RuntimeEnv | None:
    """Return the environment of a run's `runtime_env`, None where it has none."""
    if not isinstance(text, str):
        return None
    return RuntimeEnv(sha256(text.encode("utf-8", "surrogatepass")).hexdigest(), text)


def packages_of(fields: Mapping[str, Any]) -> list[str]:
    """Return the uploaded folders of an environment, which Ray keeps for as long as their job unless it is
    told otherwise."""
    places = [fields.get("working_dir"), *(fields.get("py_modules") or ())]
    return [place for place in places if isinstance(place, str) and place.startswith(UPLOADED)]


def failure(environment: RuntimeEnv, said: str) -> TaskError:
    """Return why an environment is not there: in a line, and in Ray's words without the values of its
    variables."""
    said = _without_values(said.strip(), environment)
    # Ray's words end with what went wrong, after the calls that led there.
    why = NO_PACKAGE if GONE in said else said.rpartition("\n")[2].strip()
    error: TaskError = {
        "reason": REASON,
        "type": "RuntimeEnvSetupError",
        "message": f"its runtime_env cannot be set up: {why[:WHY_CHARS_MAX]}",
    }
    if said != why:
        error["traceback"] = said[-SAID_CHARS_MAX:]
    return error


def _without_values(said: str, environment: RuntimeEnv) -> str:
    said = USER_OF_URL.sub(MASK, said)
    if is_sealed(environment.text):
        return said
    variables = environment.fields().get("env_vars", {})
    values = [value for name, value in variables.items() if name != HOOK_VARIABLE]
    # The longest first: one may be a part of another.
    for value in sorted(values, key=len, reverse=True):
        if len(value) >= HIDDEN_CHARS_MIN:
            said = said.replace(value, MASK)
    return said


_own: list[str | None] = []


def serve_in(text: str | None) -> None:
    """Say in which environment this executor serves; None: in none."""
    _own[:] = [text]


def own_environment() -> tuple[str | None] | None:
    """Return a tuple with the environment of this executor; None outside an executor."""
    return (_own[0],) if _own else None
