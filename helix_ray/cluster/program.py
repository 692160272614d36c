"""Which files belong to this program: those beside its main module and in the working directory.

Ray has these two folders on sys.path of a job. What is installed is not this program's, wherever it lies.
"""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

OURS = frozenset({"helix_ray", "actors", "serve_app", "launcher"})

_INSTALLED = tuple({str(Path(path).resolve()) + "/" for path in sysconfig.get_paths().values()})
_judged: dict[str, str] = {}


def program_folders() -> tuple[str, ...]:
    """Return the folder of the main module and the working directory, with a slash at the end."""
    main = getattr(sys.modules.get("__main__"), "__file__", None)
    places = {Path.cwd().resolve(), *([Path(main).resolve().parent] if main else [])}
    return tuple(f"{place}/" for place in places if str(place) != "/")


def belongs(name: str, file: str, folders: tuple[str, ...]) -> bool:
    """Say whether a module of this name and file lies in one of the folders, and is not installed."""
    if name.partition(".")[0] in OURS:
        return False
    path = _judged.get(file)
    if path is None:
        path = _judged[file] = str(Path(file).resolve())
    return path.startswith(folders) and not path.startswith(_INSTALLED)
