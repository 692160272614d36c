"""Seams: internal names of other packages that we use or replace although they may change in any release.

Every such name is listed in a file called *_seams.py (tests/unit/test_seams.py looks for others) as a
Seam with what we expect of it. So a release that moves one fails at the start with a clear message,
and does not serve wrongly.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any


class SeamMoved(RuntimeError):
    """A package lacks what we need of it; the message is one sentence for the operator."""


@dataclass(frozen=True, slots=True)
class Seam:
    """`place` is a module and `name` a dotted name in it; `parameters` are those of a callable,
    in order, self left out.

    A seam without parameters is a value, or a callable that is only passed on. `attributes` are those that
    the constructor of a class must set.
    """

    package: str
    place: str
    name: str
    parameters: tuple[str, ...] | None = None
    attributes: tuple[str, ...] = ()

    def find(self) -> Any:
        """Return the present value. Raises SeamMoved where it is missing or takes other parameters."""
        owner, last = self._owner()
        # Its own attributes, not inherited ones: asyncio's protocol has most of the names of uvicorn's.
        found = getattr(owner, last) if last in getattr(owner, "__dict__", ()) else self
        if found is self:
            raise self._moved("is missing")
        if self.parameters is not None:
            self._compare(found)
        set_there = inspect.getattr_static(found, "__init__").__code__.co_names if self.attributes else ()
        for name in self.attributes:
            if name not in set_there:
                raise self._moved(f"has no attribute {name}")
        return found

    def replace(self, value: Any) -> Any:
        """Replace the value and return the previous one. Raises SeamMoved as find does."""
        before = self.find()
        owner, last = self._owner()
        setattr(owner, last, value)
        return before

    def _owner(self) -> tuple[Any, str]:
        try:
            owner: Any = importlib.import_module(self.place)
        except ImportError as error:
            raise self._moved(f"cannot be imported ({error})") from None
        *path, last = self.name.split(".")
        for part in path:
            owner = getattr(owner, part, self)
        return owner, last

    def _compare(self, found: Any) -> None:
        try:
            names = tuple(inspect.signature(found).parameters)
        except (TypeError, ValueError):
            raise self._moved("is not a function") from None
        has = names[1:] if names[:1] == ("self",) else names
        if has != self.parameters:
            raise self._moved(f"takes ({', '.join(has)}), expected ({', '.join(self.parameters or ())})")

    def _moved(self, how: str) -> SeamMoved:
        try:
            installed = version(self.package)
        except PackageNotFoundError:
            installed = "which is not installed"
        return SeamMoved(
            f"{self.package} {installed} is not supported: {self.place}.{self.name} {how}; "
            f"install the version of {self.package} that pyproject.toml requires"
        )


def check(seams: Iterable[Seam]) -> None:
    """Raise SeamMoved for the first seam that does not fit."""
    for seam in seams:
        seam.find()
