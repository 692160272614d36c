"""Equal words of many tasks as one string: what comes from a disk or the network is a
string of its own each time.

Only words of which there are few: types, functions, owners. Titles and ids are mostly each another's.
"""

from __future__ import annotations

from sys import intern

from helix_ray.core.specs import Run, TaskSpec

_OF_SPEC = ("type", "priority", "project_id", "strategy")
_OF_RUN = ("kind", "function", "model")


def shared(word: str | None) -> str | None:
    """Return the one string that is equal to a word."""
    # A subclass of str (an enum's value) cannot be interned.
    return intern(word) if type(word) is str else word


def share_words(spec: TaskSpec) -> None:
    """Put the shared words in place of equal ones of a task spec."""
    _share(spec, _OF_SPEC)
    run = spec.get("run")
    if run:
        _share(run, _OF_RUN)


def _share(fields: TaskSpec | Run, names: tuple[str, ...]) -> None:
    for name in names:
        word = fields.get(name)
        if type(word) is str:
            fields[name] = intern(word)  # type: ignore[literal-required]
