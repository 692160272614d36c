"""Checks that a task spec has the shape that evolve and the followers rely on; the last check before a fact.

The edge checks specs with the same limits; this check also covers the in-cluster API. A spec that evolve
cannot fold would prevent every later start, so it must never become a fact.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from typing import Any

from helix_ray.core.bounds import WRONG_FORM, Breach, chars_breach, items_breach, number_breach
from helix_ray.core.errors import Rejected, invalid
from helix_ray.core.inference_run import breach_of as inference_breach
from helix_ray.core.iso_times import EPOCH_MAX
from helix_ray.core.placement.strategies import STRATEGIES
from helix_ray.core.specs import PRIORITIES
from helix_ray.core.state import MANUAL
from helix_ray.core.stdin import breach_of as stdin_breach
from helix_ray.core.traceparent import parse

RUN_KINDS = ("command", "function", "inference")
# Only decide makes these, for models (core/decide/model_tasks.py).
MADE_KINDS = ("examination", "tuning")
TITLE_CHARS_MAX = 500
DESCRIPTION_CHARS_MAX = 65_536
PROJECT_ID_CHARS_MAX = 128
TASK_ID_CHARS_MAX = 128
WORD_CHARS_MAX = 64
LABELS_MAX = 64
LABEL_CHARS_MAX = 256
CAPABILITIES_MAX = 64
CUSTOM_RESOURCES_MAX = 32
CPU_MAX = 4_096
DEVICES_MAX = 1_024
# Of memory in MiB, and of custom resources.
AMOUNT_MAX = 2**40
AMOUNTS_MAX = {"cpu": CPU_MAX, "gpu": DEVICES_MAX, "npu": DEVICES_MAX}
RETRIES_MAX = 100
BACKOFF_S_MAX = 86_400.0
TIMEOUT_S_MAX = 30 * 86_400.0

Check = Callable[[Any], Breach | None]


def malformed(spec: Mapping[str, object]) -> Rejected | None:
    """Refuse a spec for its first field that is missing, beyond a limit or of the wrong shape."""
    for name in ("title", "type"):
        if not isinstance(spec.get(name), str):
            return _refusal(WRONG_FORM.within(name))
    for name, value in spec.items():
        check = CHECKS.get(name)
        found = None if check is None else check(value)
        if found is not None:
            return _refusal(found.within(name))
    return None


def _refusal(found: Breach) -> Rejected:
    message = f"Invalid task {found.path}" + (f": {found.why}" if found.why else "")
    return invalid(message, field=found.path, **found.details)


def _text(chars_max: int) -> Check:
    def check(value: Any) -> Breach | None:
        if value is None:
            return None
        return chars_breach(len(value), chars_max=chars_max) if isinstance(value, str) else WRONG_FORM

    return check


def _one_of(choices: Sequence[str], *, optional: bool) -> Check:
    refusal = Breach(details={"allowed_values": [*choices]})

    def check(value: Any) -> Breach | None:
        fits = value in choices if isinstance(value, str) else optional and value is None
        return None if fits else refusal

    return check


def _amount(maximum: float) -> Check:
    def check(value: Any) -> Breach | None:
        if value is None:
            return None
        if not isinstance(value, (int, float)) or not isfinite(value):
            return WRONG_FORM
        return number_breach(value, minimum=0, maximum=maximum)

    return check


def _count(maximum: int) -> Check:
    def check(value: Any) -> Breach | None:
        return number_breach(value, minimum=0, maximum=maximum) if isinstance(value, int) else WRONG_FORM

    return check


_AMOUNTS = {name: _amount(maximum) for name, maximum in AMOUNTS_MAX.items()}
_any_amount = _amount(AMOUNT_MAX)
_word = _text(TASK_ID_CHARS_MAX)
_label = _text(WORD_CHARS_MAX)
_label_value = _text(LABEL_CHARS_MAX)


def _resources(value: Any) -> Breach | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        return WRONG_FORM
    for name, amount in value.items():
        found = _custom(amount) if name == "custom" else _AMOUNTS.get(name, _any_amount)(amount)
        if found is not None:
            return found.within(name)
    return None


def _custom(value: Any) -> Breach | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        return WRONG_FORM
    found = (breach.within(name) for name, amount in value.items() if (breach := _any_amount(amount)))
    return next(found, items_breach(len(value), items_max=CUSTOM_RESOURCES_MAX))


def _words(value: Any) -> Breach | None:
    if value is None:
        return None
    if not isinstance(value, (list, tuple)):
        return WRONG_FORM
    found = (
        breach.within(str(index))
        for index, word in enumerate(value)
        if (breach := WRONG_FORM if word is None else _word(word)) is not None
    )
    return next(found, None)


def _capabilities(value: Any) -> Breach | None:
    return _words(value) or items_breach(len(value or ()), items_max=CAPABILITIES_MAX)


def _labels(value: Any) -> Breach | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        return WRONG_FORM
    for name, text in value.items():
        found = _label(name) or (WRONG_FORM if text is None else _label_value(text))
        if found is not None:
            # A name that is too long would make the answer long as well.
            return found if _label(name) else found.within(name)
    return items_breach(len(value), items_max=LABELS_MAX)


def _run(value: Any) -> Breach | None:
    if value is None:
        return None
    kind = value.get("kind") if isinstance(value, dict) else None
    if kind in MADE_KINDS:
        return None
    check = _PARTS.get(kind) if isinstance(kind, str) else None
    found = WRONG_FORM if check is None else check(value)
    if found is not None:
        return found
    timed_out = _timeout(value.get("timeout_s"))
    return None if timed_out is None else timed_out.within("timeout_s")


def _command(run: dict[str, Any]) -> Breach | None:
    for name in ("shell", "working_dir"):
        if not _for_the_system(run.get(name, "")):
            return WRONG_FORM.within(name)
    argv, env = run.get("argv") or (), run.get("env") or {}
    if not isinstance(argv, (list, tuple)):
        return WRONG_FORM.within("argv")
    if not isinstance(env, dict):
        return WRONG_FORM.within("env")
    for index, text in enumerate(argv):
        if not _for_the_system(text):
            return WRONG_FORM.within(f"argv.{index}")
    for name, text in env.items():
        if not name or "=" in name or not _for_the_system(name) or not _for_the_system(text):
            return WRONG_FORM.within("env")
    return stdin_breach(run)


def _for_the_system(text: Any) -> bool:
    """Say whether the operating system takes a string completely: it must not contain a zero byte."""
    return text is None or (isinstance(text, str) and "\0" not in text)


def _function(run: dict[str, Any]) -> Breach | None:
    fits = all(isinstance(run.get(name, ""), str) for name in ("function", "runtime_env"))
    return None if fits else WRONG_FORM


def _shards(value: Any) -> Breach | None:
    if value is None:
        return None
    if not isinstance(value, dict) or not set(value) <= {"count", "gang"}:
        return WRONG_FORM
    count = value.get("count")
    if type(count) is not int or not isinstance(value.get("gang", False), bool):
        return WRONG_FORM
    found = number_breach(count, minimum=1)
    return None if found is None else found.within("count")


def _flag(value: Any) -> Breach | None:
    return None if value is None or isinstance(value, bool) else WRONG_FORM


def _traceparent(value: Any) -> Breach | None:
    """Refuse what is not valid: whoever asks from outside has already left it out."""
    return None if isinstance(value, str) and parse(value) is not None else WRONG_FORM


def _never(value: Any) -> Breach | None:
    """Refuse the field: only decide makes shards."""
    return WRONG_FORM


_timeout = _amount(TIMEOUT_S_MAX)
_PARTS: dict[str, Check] = {
    "command": _command,
    "function": _function,
    "inference": inference_breach,
}
CHECKS: dict[str, Check] = {
    "title": _text(TITLE_CHARS_MAX),
    "description": _text(DESCRIPTION_CHARS_MAX),
    "project_id": _text(PROJECT_ID_CHARS_MAX),
    "priority": _one_of(PRIORITIES, optional=False),
    "resources": _resources,
    "required_capabilities": _capabilities,
    "labels": _labels,
    "depends_on": _words,
    "max_retries": _count(RETRIES_MAX),
    "retry_backoff_s": _amount(BACKOFF_S_MAX),
    "timeout_s": _timeout,
    "deadline": _amount(EPOCH_MAX),
    "run": _run,
    "shards": _shards,
    "shard": _never,
    "strategy": _one_of((*STRATEGIES, MANUAL), optional=True),
    "preemptible": _flag,
    "traceparent": _traceparent,
}
