"""The runtime environments of this program's functions: the job's, and what a call adds to it.

Each task has its environment as one JSON text (execution/runtime_env.py), so that a task which runs after its
program has ended, or after a restart, has it all the same.
"""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from helix_ray.core.specs import JsonObject
from helix_ray.execution.runtime_env import HOOK_VARIABLE, packages_of

RUNTIME_ENV_BYTES_MAX = 32 * 1024
"""Largest runtime environment, in bytes of JSON: it is stored with every task."""

KEEP_AGAIN_S = 3_600.0
"""How often the node is asked again to keep an environment's packages, in seconds, while tasks have it."""

FIELDS = (
    "env_vars", "working_dir", "py_modules", "pip", "uv", "conda", "py_executable",
    "worker_process_setup_hook", "config",
)  # fmt: skip
# Written by Ray itself.
OF_RAY = ("_ray_release", "_ray_commit", "_inject_current_ray")
# For the upload of a folder, which has happened.
UPLOADING = ("excludes",)
# Fields of Ray that its workers cannot have here, and why.
REFUSED = {
    "container": "executors run on the node itself, not in a container",
    "image_uri": "executors run on the node itself, not in a container",
    "nsight": "executors are not run under a profiler",
    "rocprof_sys": "executors are not run under a profiler",
    "java_jars": "executors run Python only",
}
# How Ray passes a hook that is a function; it exists as long as its job.
HOOK_FUNCTION = "ray_runtime_env_func::"

OF_THIS_SHELL = (
    "uv run --active: the nodes do not know the virtual environment of this shell, so functions fail there "
    "(reason `environment`) unless uv finds Helix Ray in the project: use `uv run --with helix-ray`, or set "
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV=0"
)

Check = Callable[[JsonObject], JsonObject]
Keep = Callable[[Sequence[str]], object]


class Environments:
    """Gives calls their environment. Thread safe: the worst of a race is that packages are kept twice."""

    def __init__(
        self,
        job: Mapping[str, Any],
        check: Check = dict,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`job` is this program's environment; `check` returns one in Ray's form, or raises ValueError or
        TypeError."""
        self._job = dict(job)
        if _is_of_this_shell(self._job):
            warnings.warn(OF_THIS_SHELL, stacklevel=3)
        self._check = check
        self._clock = clock
        self._job_text: str | None = None
        self._kept_at: dict[str, float] = {}

    def text(self, own: Mapping[str, Any] | None, keep: Keep) -> str | None:
        """Return the environment of a call as text, None without one; `keep` gets the packages that must
        outlive this program.

        Raises ValueError or TypeError for one that executors cannot have.
        """
        fields = self._job if own is None else self._with(own)
        if not fields:
            return None
        text = self._of_job() if own is None else _encoded(fields)
        self._keep(packages_of(fields), keep)
        return text

    def _of_job(self) -> str:
        if self._job_text is None:
            self._job_text = _encoded(self._job)
        return self._job_text

    def _with(self, own: Mapping[str, Any]) -> JsonObject:
        """Return the job's environment with a call's own."""
        if not isinstance(own, Mapping):
            raise TypeError(f"runtime_env must be a dict, not {type(own).__name__}")
        fields = merged(self._job, own)
        _refuse(fields)
        for name in ("working_dir", "py_modules", "worker_process_setup_hook"):
            if own.get(name) is not None and not _placed(own[name]):
                raise ValueError(
                    f"{name} in the runtime_env of a call must be the URI of an archive: Ray takes "
                    f"{own[name]!r} from the job only, so pass it to helix_ray.connect or ray.init"
                )
        return self._check(fields) if fields else fields

    def _keep(self, packages: Sequence[str], keep: Keep) -> None:
        now = self._clock()
        due = [uri for uri in packages if now - self._kept_at.get(uri, -KEEP_AGAIN_S) >= KEEP_AGAIN_S]
        if due:
            keep(due)
            self._kept_at.update(dict.fromkeys(due, now))


def merged(job: Mapping[str, Any], own: Mapping[str, Any]) -> JsonObject:
    """Return the job's environment with a call's own, as Ray merges them: variables one by one, every other
    field as a whole."""
    together = {**job, **own}
    if together.get("env_vars") is not None:
        together["env_vars"] = {**(job.get("env_vars") or {}), **together["env_vars"]}
    return {name: value for name, value in together.items() if value is not None}


def _encoded(fields: Mapping[str, Any]) -> str:
    _refuse(fields)
    text = json.dumps({name: fields[name] for name in fields if name not in UPLOADING}, sort_keys=True)
    if len(text) > RUNTIME_ENV_BYTES_MAX:
        raise ValueError(
            f"runtime_env is {len(text)} bytes; the limit is {RUNTIME_ENV_BYTES_MAX}: put large values in a "
            "file of its working_dir"
        )
    return text


def _refuse(fields: Mapping[str, Any]) -> None:
    for name in fields:
        plain = name if name in OF_RAY else name.removeprefix("_")
        if plain in REFUSED:
            raise ValueError(f"runtime_env has {plain}, which is not supported: {REFUSED[plain]}")
        if plain not in (*FIELDS, *OF_RAY, *UPLOADING):
            raise ValueError(f"runtime_env has {name}, which is not supported: use {', '.join(FIELDS)}")
    hook = fields.get("worker_process_setup_hook")
    variables = fields.get("env_vars") or {}
    if callable(hook) or str(variables.get(HOOK_VARIABLE, "")).startswith(HOOK_FUNCTION):
        raise ValueError(
            "worker_process_setup_hook is a function, which Ray removes with its job: name it, "
            'as "module.function"'
        )


def _is_of_this_shell(job: Mapping[str, Any]) -> bool:
    """Say whether executors are started by uv in the virtual environment of a shell, without its name."""
    words = str(job.get("py_executable") or "").split()
    return (
        words[:2] == ["uv", "run"]
        and "--active" in words
        and "VIRTUAL_ENV" not in (job.get("env_vars") or {})
    )


def _placed(value: Any) -> bool:
    """Say whether a value names archives that nodes can get."""
    places = value if isinstance(value, (list, tuple)) else [value]
    return all(isinstance(place, str) and "://" in place for place in places)
