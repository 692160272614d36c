"""Interns strings that many tasks have in common, because each value that is read from disk or from the
network is a string of its own.

Only fields with few distinct values are interned: types, functions, owners. Titles and ids mostly differ.
"""

from __future__ import annotations

from sys import intern

from helix_ray.core.specs import Run, TaskSpec

_OF_SPEC = ("type", "priority", "project_id", "strategy")
_OF_RUN = ("kind", "function", "model")


def shared(word: str | None) -> str | None:
    """Return the interned string that is equal to a word."""
    # A subclass of str (an enum's value) cannot be interned.
    return intern(word) if type(word) is str else word


def share_words(spec: TaskSpec) -> None:
    """Replace words of a task spec by their interned strings."""
    _share(spec, _OF_SPEC)
    run = spec.get("run")
    if run:
        _share(run, _OF_RUN)


def _share(fields: TaskSpec | Run, names: tuple[str, ...]) -> None:
    for name in names:
        word = fields.get(name)
        if type(word) is str:
            fields[name] = intern(word)  # type: ignore[literal-required]
