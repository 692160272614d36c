"""The allow-list of functions that may be run by name: exact modules, parsed once,
checked before any import."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

_NAME = re.compile(r"(?P<module>[A-Za-z]\w*(?:\.[A-Za-z]\w*)*):(?P<attribute>[A-Za-z]\w*)", re.ASCII)
_ENTRY = re.compile(r"(?P<module>[A-Za-z]\w*(?:\.[A-Za-z]\w*)*):(?P<attribute>[A-Za-z]\w*|\*)", re.ASCII)


class NotAllowed(PermissionError):
    """The name is malformed or not on the allow-list."""


class NotThere(LookupError):
    """The name is allowed, but no function can be found under it on this node."""


@dataclass(frozen=True, slots=True)
class Allow:
    """The allow-list: exact names, and modules all of whose own public functions may run."""

    names: frozenset[str]
    modules: frozenset[str]
    _resolved: dict[str, Callable[..., Any]] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def parse(cls, text: str) -> Allow:
        """Parse "mod:name,mod2:*"; raises ValueError for any other form.

        Names and module segments that start with an underscore are refused, here as in calls.
        """
        entries = [entry.strip() for entry in text.split(",") if entry.strip()]
        for entry in entries:
            if not _ENTRY.fullmatch(entry):
                raise ValueError(f"allow-list entry {entry!r} is not in the form module:name or module:*")
        modules = frozenset(entry[:-2] for entry in entries if entry.endswith(":*"))
        return cls(frozenset(entry for entry in entries if not entry.endswith(":*")), modules)

    def allows(self, name: str) -> bool:
        """Say whether "pkg.mod:name" may run: module and attribute are compared exactly,
        without attribute paths."""
        match = _NAME.fullmatch(name)
        return match is not None and (name in self.names or match["module"] in self.modules)

    def resolve(self, name: str) -> Callable[..., Any]:
        """Return the function, imported once; one that a decorator wraps is unwrapped.

        Raises NotAllowed before anything is imported, NotThere where the import or the attribute fails. Under
        `module:*` only functions defined in the module itself count, not imported ones.
        """
        function = self._resolved.get(name)
        if function is None:
            function = self._resolved[name] = self._import(name)
        return function

    def _import(self, name: str) -> Callable[..., Any]:
        if not self.allows(name):
            raise NotAllowed(f"function {name!r} is not on the allow-list (HELIX_FUNCTION_ALLOW)")
        module_name, _, attribute = name.partition(":")
        try:
            names = vars(importlib.import_module(module_name))
        except Exception as error:
            raise NotThere(
                f"module {module_name!r} cannot be imported here: {type(error).__name__}: {error}"
            ) from error
        if attribute not in names:
            raise NotThere(f"module {module_name!r} has no function {attribute!r}")
        found: Any = names[attribute]
        function: Callable[..., Any] = getattr(found, "__helix_function__", found)
        if not callable(function):
            raise NotThere(f"{name!r} is of type {type(function).__name__}, not a function")
        if name not in self.names and getattr(function, "__module__", None) != module_name:
            raise NotAllowed(
                f"function {name!r} is only imported there; allow it under the module that defines it"
            )
        return function
