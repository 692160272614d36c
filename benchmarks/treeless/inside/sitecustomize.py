"""Gives the master of a server a journal whose tree can be switched off.

Every process of a server that is started with this folder in PYTHONPATH loads this module at its start.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

# What is exchanged in which module, and by what of benchmarks.treeless.journal.
EXCHANGED = {
    "actors.keeping": ("SqliteJournal", "Switched"),
    "actors.signer": ("CheckpointKeeper", "SwitchedKeeper"),
}


class _Exchanging(Loader):
    """Loads a module as it is, and then exchanges one of its names."""

    def __init__(self, inner: Loader) -> None:
        self._inner = inner

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._inner.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._inner.exec_module(module)
        sys.path.append(str(Path(__file__).parents[3]))
        from benchmarks.treeless import journal

        name, by = EXCHANGED[module.__name__]
        setattr(module, name, getattr(journal, by))


class _Finder(MetaPathFinder):
    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in EXCHANGED:
            return None
        spec = PathFinder.find_spec(name, path)
        if spec is not None and spec.loader is not None:
            spec.loader = _Exchanging(spec.loader)
        return spec


sys.meta_path.insert(0, _Finder())
