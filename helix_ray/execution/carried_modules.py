"""Modules that travel with a function as source: those beside its program that it imports while it runs.

They are there for this function only: when it has ended, they can be imported by no other, and the next call
with the same sources finds them as it left them. A module of this name that this node has itself is taken
where its source is the same, so that files beside it are found.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from hashlib import sha256
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import decode_source, spec_from_loader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, NamedTuple

import cloudpickle

SETS_MAX = 8
"""How many sets of modules a process keeps for the next function that brings the same."""


class Source(NamedTuple):
    """A module: its source, where its file was ("": a package without one), and whether it is a package."""

    data: bytes
    file: str
    package: bool


Sources = Mapping[str, tuple[bytes, str, bool]]


def digest_of(sources: Sources) -> str:
    """Return what tells sets of modules apart."""
    hashed = sha256()
    for name, (data, file, package) in sorted(sources.items()):
        for part in (name.encode(), file.encode("utf-8", "surrogateescape"), bytes([package]), data):
            hashed.update(len(part).to_bytes(8) + part)
    return hashed.hexdigest()


def loaded(data: bytes, sources: Sources, digest: str) -> Any:
    """Unpickle a function whose modules travel with it."""
    _carried.begin(sources, digest)
    return cloudpickle.loads(data)


def withdraw() -> None:
    """Take the modules of the function that has ended away; without effect where it had none."""
    _carried.end()


class _Loader(InspectLoader):
    def __init__(self, source: Source) -> None:
        self._source = source

    def get_source(self, fullname: str) -> str:
        """Return the text, for tracebacks."""
        return decode_source(self._source.data)

    def get_code(self, fullname: str) -> CodeType:
        """Compile the source, under the name of its file."""
        code: CodeType = compile(self._source.data, self._source.file, "exec", dont_inherit=True)
        return code

    def is_package(self, fullname: str) -> bool:
        """Say whether it has modules below it."""
        return self._source.package


class Carried(MetaPathFinder):
    """Finds the modules of the present function, before anything else does."""

    def __init__(self) -> None:
        self._sources: Sources = {}
        self._digest: str | None = None
        # Modules of this process that have another source.
        self._hidden: dict[str, ModuleType] = {}
        # Modules of functions that have ended, by their digest.
        self._left: OrderedDict[str, dict[str, ModuleType]] = OrderedDict()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of a carried module, None for every other one."""
        found = self._sources.get(fullname)
        if found is None:
            return None
        source = Source(*found)
        here = PathFinder.find_spec(fullname, path)
        if here is not None and (not source.file or _same(here.origin, source.data)):
            return here
        spec = spec_from_loader(fullname, _Loader(source), origin=source.file, is_package=source.package)
        if spec is not None:
            spec.has_location = bool(source.file)
        return spec

    def begin(self, sources: Sources, digest: str) -> None:
        """Find these modules from here on."""
        self.end()
        self._sources, self._digest = sources, digest
        sys.meta_path.insert(0, self)
        others = {name: sys.modules[name] for name in sources if name in sys.modules}
        for name, module in others.items():
            if sources[name][1] and not _same(getattr(module, "__file__", None), sources[name][0]):
                self._hidden[name] = sys.modules.pop(name)
        sys.modules.update(self._left.pop(digest, {}))

    def end(self) -> None:
        """Find none, and take those away that were imported."""
        if self._digest is None:
            return
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        taken = {name: sys.modules[name] for name in self._sources if _ours(sys.modules.get(name))}
        for name in taken:
            del sys.modules[name]
        self._left[self._digest] = taken
        if len(self._left) > SETS_MAX:
            self._left.popitem(last=False)
        sys.modules.update(self._hidden)
        self._sources, self._digest, self._hidden = {}, None, {}


_carried = Carried()


def _ours(module: ModuleType | None) -> bool:
    spec = getattr(module, "__spec__", None)
    return isinstance(getattr(spec, "loader", None), _Loader)


def _same(file: str | None, data: bytes) -> bool:
    try:
        return file is not None and Path(file).read_bytes() == data
    except OSError:
        return False
