"""Is a task spec of the shape that evolve and the followers rely on? The last check before a fact.

The edge checks specs with more words; this one also stands behind the in-cluster API. A spec that evolve cannot
fold would stop every start from then on, so it must never become a fact.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from typing import Any

from helix_ray.core.placement.strategies import STRATEGIES
from helix_ray.core.state import LEVELS, MANUAL

RUN_KINDS = ("command", "function", "inference")


def malformed(spec: dict[str, Any]) -> str | None:
    """Return the name of the first field that is missing or of the wrong shape, None when all are right."""
    for name in ("title", "type"):
        if not isinstance(spec.get(name), str):
            return name
    for name, value in spec.items():
        check = CHECKS.get(name)
        if check is not None and not check(value):
            return name
    return None


def _text(value: Any) -> bool:
    return value is None or isinstance(value, str)


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
        isinstance(value, (list, tuple)) and all(isinstance(word, str) for word in value)
    )


def _labels(value: Any) -> bool:
    if value is None:
        return True
    return isinstance(value, dict) and all(isinstance(v, str) for item in value.items() for v in item)


def _run(value: Any) -> bool:
    if value is None:
        return True
    if not isinstance(value, dict) or value.get("kind") not in RUN_KINDS:
        return False
    if value["kind"] == "inference":
        return isinstance(value.get("model"), str)
    return isinstance(value.get("function", ""), str)


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


def _nothing(value: Any) -> bool:
    """Only decide makes shards."""
    return False


CHECKS: dict[str, Callable[[Any], bool]] = {
    "project_id": _text,
    "priority": _priority,
    "resources": _resources,
    "required_capabilities": _words,
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
}
