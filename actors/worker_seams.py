"""Ray's worker program, started without packages that Ray imports in every process and no worker uses.

`requests` is there to find TPUs of Google's cloud, `jsonschema` to check plugins of runtime environments,
`wcwidth` for tables. They are loaded here when something of them is used, and garbage is collected after
the imports only.

worker_template.py uses this, which the raylet starts. It imports nothing of ours: a worker may be in a
runtime environment of its own.
"""

from __future__ import annotations

import gc
import os
import runpy
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

UNUSED = ("jsonschema", "requests", "wcwidth")
PROGRAM = "_private/workers/default_worker.py"
# What Ray's program imports, at its start and when it connects.
LOADED = ("ray._private.workers.default_worker", "ray._common.usage.usage_lib")


class Later(ModuleType):
    """Stands for a module until something of it is used."""

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(import_module(self.__name__), name)


def load(*modules: str) -> None:
    """Import modules of Ray without UNUSED; what imports those afterwards gets them as ever.

    A module that this version of Ray lacks is left to Ray's program.
    """
    later = {name: Later(name) for name in UNUSED if name not in sys.modules}
    sys.modules.update(later)
    # All that is imported stays: looking through it for garbage takes a tenth of the import.
    gc.disable()
    try:
        for module in modules:
            with suppress(ImportError):
                import_module(module)
    finally:
        for name, standing in later.items():
            if sys.modules.get(name) is standing:
                del sys.modules[name]
        gc.freeze()
        gc.enable()


def run_program(flags: Sequence[str]) -> None:
    """Run Ray's program with flags."""
    program = find_program()
    sys.argv[:] = [program, *flags]
    load(*LOADED)
    runpy.run_path(program, run_name="__main__")


def find_program() -> str:
    """Return the path of Ray's program, whose folder takes the place of this one's on the path of modules,
    as Python does for a program started by its path."""
    ray = find_spec("ray")
    assert ray is not None
    assert ray.origin is not None
    program = os.path.join(os.path.dirname(ray.origin), PROGRAM)
    sys.path[0] = os.path.dirname(program)
    return program


def show_title(title: str) -> None:
    """Show a title in place of this process's arguments, as Ray does for its workers."""
    import ray

    ray._raylet.setproctitle(title)  # type: ignore[attr-defined]
