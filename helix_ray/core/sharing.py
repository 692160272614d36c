"""Equal words of many tasks as one string: what comes from a disk or the network is a
string of its own each time.

Only words of which there are few: types, functions, owners. Titles and ids are mostly each another's.
"""

from __future__ import annotations

from sys import intern
from typing import Any

_OF_SPEC = ("type", "priority", "project_id", "strategy")
_OF_RUN = ("kind", "function", "model")


def shared(word: str | None) -> str | None:
    """Return the one string that is equal to a word."""
    # A subclass of str (an enum's value) cannot be interned.
    return intern(word) if type(word) is str else word


def share_words(spec: dict[str, Any]) -> None:
    """Put the shared words in place of equal ones of a task spec."""
    for name in _OF_SPEC:
        word = spec.get(name)
        if type(word) is str:
            spec[name] = intern(word)
    run = spec.get("run")
    if run:
        for name in _OF_RUN:
            word = run.get(name)
            if type(word) is str:
                run[name] = intern(word)
