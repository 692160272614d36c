"""Checks that a task spec has the shape that evolve and the followers rely on; the last check before a fact.

The edge checks specs with better messages; this check also covers the in-cluster API. A spec that evolve
cannot fold would prevent every later start, so it must never become a fact.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any

from helix_ray.core.inference_run import invalid_field as invalid_inference
from helix_ray.core.placement.strategies import STRATEGIES
from helix_ray.core.specs import LEVELS
from helix_ray.core.state import MANUAL
from helix_ray.core.stdin import invalid_field as invalid_stdin
from helix_ray.core.traceparent import parse

RUN_KINDS = ("command", "function", "inference")
# Only decide makes these, for models (core/decide/examinations.py).
MADE_KINDS = ("examination", "tuning")
TITLE_CHARS_MAX = 500
DESCRIPTION_CHARS_MAX = 65_536
PROJECT_ID_CHARS_MAX = 128
TASK_ID_CHARS_MAX = 128
WORD_CHARS_MAX = 64
LABELS_MAX = 64
LABEL_CHARS_MAX = 256
CAPABILITIES_MAX = 64


def malformed(spec: Mapping[str, object]) -> str | None:
    """Return the first field that is missing, too long or of the wrong shape; None when all are valid."""
    for name in ("title", "type"):
        if not isinstance(spec.get(name), str):
            return name
    for name, value in spec.items():
        check = CHECKS.get(name)
        if check is not None and not check(value):
            return name if name != "run" else _part_of_run(value)
    return None


def _at_most(chars_max: int) -> Callable[[Any], bool]:
    return lambda value: value is None or (isinstance(value, str) and len(value) <= chars_max)


def _priority(value: Any) -> bool:
    return isinstance(value, str) and value in LEVELS


def _amount(value: Any) -> bool:
    return value is None or (isinstance(value, (int, float)) and isfinite(value) and value >= 0)


def _count(value: Any) -> bool:
    return isinstance(value, int) and value >= 0


def _amounts(value: Any) -> bool:
    return value is None or (isinstance(value, dict) and all(_amount(amount) for amount in value.values()))


def _resources(value: Any) -> bool:
    if value is None:
        return True
    if not isinstance(value, dict):
        return False
    return all(_amounts(amount) if name == "custom" else _amount(amount) for name, amount in value.items())


def _words(value: Any) -> bool:
    return value is None or (
        isinstance(value, (list, tuple)) and all(map(_at_most(TASK_ID_CHARS_MAX), value))
    )


def _capabilities(value: Any) -> bool:
    return _words(value) and len(value or ()) <= CAPABILITIES_MAX


def _labels(value: Any) -> bool:
    if value is None:
        return True
    return (
        isinstance(value, dict)
        and len(value) <= LABELS_MAX
        and all(isinstance(name, str) and len(name) <= WORD_CHARS_MAX for name in value)
        and all(isinstance(text, str) and len(text) <= LABEL_CHARS_MAX for text in value.values())
    )


def _run(value: Any) -> bool:
    if value is None:
        return True
    if not isinstance(value, dict) or value.get("kind") not in (*RUN_KINDS, *MADE_KINDS):
        return False
    if value["kind"] in MADE_KINDS:
        return True
    if value["kind"] == "inference":
        return invalid_inference(value) is None
    if value["kind"] == "command":
        return _part_of_run(value) == "run"
    return all(isinstance(value.get(name, ""), str) for name in ("function", "runtime_env"))


def _part_of_run(run: Any) -> str:
    """Return the invalid part of a command or an inference; `run` where it is none of these."""
    if isinstance(run, dict) and run.get("kind") == "inference":
        odd = invalid_inference(run)
        return "run" if odd in (None, "model") else f"run.{odd}"
    if not isinstance(run, dict) or run.get("kind") != "command":
        return "run"
    for name in ("shell", "working_dir"):
        if not _for_the_system(run.get(name, "")):
            return f"run.{name}"
    argv, env = run.get("argv") or (), run.get("env") or {}
    if not isinstance(argv, (list, tuple)):
        return "run.argv"
    if not isinstance(env, dict):
        return "run.env"
    for index, text in enumerate(argv):
        if not _for_the_system(text):
            return f"run.argv.{index}"
    for name, text in env.items():
        if not name or "=" in name or not _for_the_system(name) or not _for_the_system(text):
            return "run.env"
    odd = invalid_stdin(run)
    return "run" if odd is None else f"run.{odd}"


def _for_the_system(text: Any) -> bool:
    """Say whether the operating system takes a string completely: it must not contain a zero byte."""
    return text is None or (isinstance(text, str) and "\0" not in text)


def _shards(value: Any) -> bool:
    if value is None:
        return True
    if not isinstance(value, dict) or not set(value) <= {"count", "gang"}:
        return False
    count = value.get("count")
    return type(count) is int and count >= 1 and isinstance(value.get("gang", False), bool)


def _strategy(value: Any) -> bool:
    return value is None or value == MANUAL or value in STRATEGIES


def _flag(value: Any) -> bool:
    return value is None or isinstance(value, bool)


def _traceparent(value: Any) -> bool:
    """Refuse what is not valid: whoever asks from outside has already left it out."""
    return isinstance(value, str) and parse(value) is not None


def _nothing(value: Any) -> bool:
    """Refuse the field: only decide makes shards."""
    return False


CHECKS: dict[str, Callable[[Any], bool]] = {
    "title": _at_most(TITLE_CHARS_MAX),
    "description": _at_most(DESCRIPTION_CHARS_MAX),
    "project_id": _at_most(PROJECT_ID_CHARS_MAX),
    "priority": _priority,
    "resources": _resources,
    "required_capabilities": _capabilities,
    "labels": _labels,
    "depends_on": _words,
    "max_retries": _count,
    "retry_backoff_s": _amount,
    "timeout_s": _amount,
    "deadline": _amount,
    "run": _run,
    "shards": _shards,
    "shard": _nothing,
    "strategy": _strategy,
    "preemptible": _flag,
    "traceparent": _traceparent,
}
