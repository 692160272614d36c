"""The modules beside the program that functions import while they run: their sources travel with the call.

What a module has imported at its top is pickled with it (payload.py); an import inside a function happens on
the node, where the program's folder is not. The code of every function that is pickled by value is searched
for imports, and the source of each module that is found for further ones. Code that computes the name of a
module is not seen; data files do not travel.
"""

from __future__ import annotations

import dis
import os
import re
import sys
import warnings
from collections.abc import Iterable, Iterator
from functools import lru_cache
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import resolve_name
from pathlib import Path
from types import CodeType, FunctionType
from typing import NamedTuple

from helix_ray.cluster.program import belongs, program_folders

SOURCES_BYTES_MAX = 1024 * 1024
"""Most bytes of source that travel with a call: they are stored with each task."""

_IMPORT_NAME = dis.opmap["IMPORT_NAME"]
# Functions that import the module whose name they are given.
_BY_NAME = frozenset({"import_module", "__import__"})
_MODULE = re.compile(r"\.*[^\W\d]\w*(\.[^\W\d]\w*)*")


class _Import(NamedTuple):
    """A name that code imports: a module, or a thing in one."""

    name: str
    package: str


def sources_of(functions: Iterable[FunctionType]) -> dict[str, tuple[bytes, str, bool]]:
    """Return the modules that functions need on the node, by name: source, file, and whether it is a package.

    Warns, and returns none, where they are larger than SOURCES_BYTES_MAX together.
    """
    wanted = [found for function in functions for found in _imports(function.__code__, _package(function))]
    return _Search().all_of(wanted) if wanted else {}


def _package(function: FunctionType) -> str:
    names = function.__globals__
    own = names.get("__package__")
    if isinstance(own, str):
        return own
    return str(names.get("__name__", "")).rpartition(".")[0]


def _imports(code: CodeType, package: str) -> Iterator[_Import]:
    """Yield what code imports, and the functions in it."""
    if _IMPORT_NAME in code.co_code[::2]:
        yield from _statements(code, package)
    if not _BY_NAME.isdisjoint(code.co_names):
        texts = [text for text in code.co_consts if isinstance(text, str) and _MODULE.fullmatch(text)]
        yield from (_Import(text, package) for text in texts)
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _imports(inner, package)


@lru_cache(maxsize=1024)
def _statements(code: CodeType, package: str) -> tuple[_Import, ...]:
    """Return the names of `import a.b`; of `from a import b` both `a` and `a.b`, which may be a module."""
    found: list[_Import] = []
    # What was loaded last: the level of a relative import, and the names behind `import`.
    level: object = None
    names: object = None
    for instruction in dis.get_instructions(code):
        if instruction.opcode == dis.EXTENDED_ARG:
            continue
        if instruction.opcode == _IMPORT_NAME:
            name = "." * (level if isinstance(level, int) else 0) + str(instruction.argval)
            joint = "" if name.endswith(".") else "."
            found.append(_Import(name, package))
            inner = names if isinstance(names, tuple) else ()
            found += [_Import(f"{name}{joint}{one}", package) for one in inner]
        level, names = names, instruction.argval
    return tuple(found)


@lru_cache(maxsize=256)
def _read(file: str, package: str, changed: tuple[int, int]) -> tuple[bytes, tuple[_Import, ...]]:
    """Return a module's source and what it imports; `changed` has its file's time and size, since the same
    functions are submitted again and again."""
    data = Path(file).read_bytes()
    return data, tuple(_imports(compile(data, file, "exec", dont_inherit=True), package))


class _Search:
    """Finds the sources of modules, and of those that they import."""

    def __init__(self) -> None:
        self._folders = program_folders()
        self._specs: dict[str, ModuleSpec | None] = {}
        self._found: dict[str, tuple[bytes, str, bool]] = {}

    def all_of(self, wanted: list[_Import]) -> dict[str, tuple[bytes, str, bool]]:
        """Return the sources of what is wanted, as far as it lies beside the program."""
        while wanted:
            name = _absolute(wanted.pop())
            parts = name.split(".") if name else []
            for count in range(1, len(parts) + 1):
                wanted += self._add(".".join(parts[:count]))
        size = sum(len(data) for data, _, _ in self._found.values())
        if size > SOURCES_BYTES_MAX:
            tops = ", ".join(sorted({name.partition(".")[0] for name in self._found}))
            warnings.warn(
                f"{tops}: these modules beside the program are {size} bytes, more than the "
                f"{SOURCES_BYTES_MAX} that travel with a call; use a runtime_env with a working_dir",
                stacklevel=2,
            )
            return {}
        return self._found

    def _add(self, name: str) -> list[_Import]:
        """Take a module in, once; return what it imports."""
        if name in self._found:
            return []
        spec = self._spec(name)
        if spec is None:
            return []
        package = spec.submodule_search_locations is not None
        if not spec.has_location:
            # A package without __init__.py.
            self._found[name] = (b"", "", True)
            return []
        file = str(spec.origin)
        try:
            now = os.stat(file)
            inside = name if package else name.rpartition(".")[0]
            data, imports = _read(file, inside, (now.st_mtime_ns, now.st_size))
        except (OSError, SyntaxError, ValueError):
            # The import on the node says so.
            return []
        self._found[name] = (data, file, package)
        return list(imports)

    def _spec(self, name: str) -> ModuleSpec | None:
        """Return where a module lies; None for one that is not this program's source."""
        if name not in self._specs:
            self._specs[name] = self._look(name)
        return self._specs[name]

    def _look(self, name: str) -> ModuleSpec | None:
        parent = name.rpartition(".")[0]
        if not parent and (name in sys.stdlib_module_names or name in _elsewhere):
            return None
        above = self._spec(parent) if parent else None
        if parent and (above is None or above.submodule_search_locations is None):
            return None
        spec = PathFinder.find_spec(name, above.submodule_search_locations if above else None)
        if spec is None:
            return None
        places = [spec.origin] if spec.has_location else list(spec.submodule_search_locations or ())
        own = bool(places) and all(belongs(name, f"{place}", self._folders) for place in places)
        if not own and not parent:
            _elsewhere.add(name)
        return spec if own and str(spec.origin if spec.has_location else ".py").endswith(".py") else None


# Modules that were found and are not the program's: numpy and the like, looked up once.
_elsewhere: set[str] = set()


def _absolute(wanted: _Import) -> str | None:
    try:
        return resolve_name(wanted.name, wanted.package or None)
    except ImportError:
        return None
