"""Words given by name to `submit` and `map`: options of the task, or arguments of the function.

Options are given by name; keyword arguments of the function go in `kwargs`. A word that could be either, or
is neither, is refused with the way to say it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
from difflib import get_close_matches
from inspect import Parameter
from typing import Any

# What Ray and other task queues call an option.
ELSEWHERE = {
    "num_cpus": "cpu",
    "num_gpus": "gpu",
    "memory": "memory_mb (in MiB)",
    "resources": "custom",
    "name": "title",
    "timeout": "timeout_s",
    "time_limit": "timeout_s",
    "retries": "max_retries",
    "scheduling_strategy": "strategy",
    "accelerator_type": "required_capabilities",
    "dependencies": "depends_on",
    "args": "the arguments one by one",
}


def check_options(given: Iterable[str], known: Collection[str]) -> None:
    """Raise TypeError for a name that is not an option; the message suggests the option that was meant."""
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise TypeError("; ".join(_unknown(name, known) for name in unknown))


def _unknown(name: str, known: Collection[str]) -> str:
    meant = ELSEWHERE.get(name) or next(iter(get_close_matches(name, known, 1)), None)
    return f"{name} is not an option" + (f": use {meant}" if meant else f"; options are {', '.join(known)}")


def check_call(
    function: Callable[..., Any],
    title: str,
    bound: int,
    kwargs: Mapping[str, Any],
    options: Iterable[str],
    known: Collection[str],
) -> None:
    """Raise TypeError where a word of this call stands among the options and is an argument, or the reverse.

    `bound` is the number of positional arguments, `options` are those of this call, without the decorator's.
    """
    free, takes_all = _free_names(function, bound, kwargs)
    for name in options:
        if name in known:
            if name in free:
                raise TypeError(_either(name, title))
        elif name in free or (takes_all and name not in ELSEWHERE):
            raise TypeError(f"{name} is an argument of {title}, not an option: use kwargs={{{name!r}: ...}}")
    if not takes_all:
        _check_kwargs(function, title, kwargs, known)


def _either(name: str, title: str) -> str:
    return (
        f"{name} is an option and an argument of {title}: use kwargs={{{name!r}: ...}} for the argument, "
        f"and helix_ray.function({name}=...)(function) for the option"
    )


def _check_kwargs(
    function: Callable[..., Any], title: str, kwargs: Mapping[str, Any], known: Collection[str]
) -> None:
    """Refuse an option among the keyword arguments of a function that does not take it."""
    parameters = _parameters(function)
    if not parameters:
        return
    for name in kwargs:
        option = name if name in known else ELSEWHERE.get(name)
        if name not in parameters and option is not None:
            raise TypeError(
                f"{name} is not an argument of {title}; for the option use {option.split()[0]}=... in submit,"
                " or function.options(...).submit(...)"
            )


def _free_names(
    function: Callable[..., Any], bound: int, kwargs: Mapping[str, Any]
) -> tuple[frozenset[str], bool]:
    """Return the parameters that can be given by name and are not yet, and whether it takes any name."""
    found = list(_parameters(function).values())
    takes_all = any(one.kind is Parameter.VAR_KEYWORD for one in found)
    places = [
        one for one in found if one.kind in (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    ]
    named = [one for one in places[bound:] if one.kind is Parameter.POSITIONAL_OR_KEYWORD]
    named += [one for one in found if one.kind is Parameter.KEYWORD_ONLY]
    return frozenset(one.name for one in named if one.name not in kwargs), takes_all


def _parameters(function: Callable[..., Any]) -> Mapping[str, Parameter]:
    """Return the parameters as far as they are known: a wrapper may take others than what it wraps."""
    try:
        return inspect.signature(function, follow_wrapped=False).parameters
    except (TypeError, ValueError):
        return {}
