"""What Ray's workers leave out at their start is there for whoever uses it."""

from __future__ import annotations

import subprocess
import sys

import pytest

UNUSED = ("jsonschema", "requests")


def run(script: str) -> list[str]:
    """Run a program that has loaded Ray as workers do; return its lines."""
    loaded = "import sys; from actors import worker_seams; worker_seams.load(*worker_seams.LOADED)\n"
    ran = subprocess.run(
        [sys.executable, "-c", loaded + script], capture_output=True, text=True, check=True, timeout=200
    )
    return ran.stdout.splitlines()


def test_nothing_of_them_is_loaded_and_imports_get_the_whole_modules() -> None:
    """After the start neither they nor what stands for them is there; an import is an ordinary one."""
    told = run(
        f"import ray, gc; print([n for n in {UNUSED} if n in sys.modules], gc.isenabled())\n"
        "import requests.adapters, jsonschema\n"
        "print(type(requests).__name__, type(jsonschema).__name__, requests.adapters.HTTPAdapter.__name__)"
    )
    assert told == ["[] True", "module module HTTPAdapter"]


@pytest.mark.parametrize("name", UNUSED)
@pytest.mark.parametrize("imports", ["import {0}", "import {0}.exceptions", "from {0} import exceptions"])
def test_what_stands_for_a_module_becomes_it_when_used(name: str, imports: str) -> None:
    """Code that meets a stand-in gets what the module has, however it imports it."""
    told = run(
        f"standing = worker_seams.Later({name!r}); sys.modules[{name!r}] = standing\n"
        f"{imports.format(name)}\n"
        f"errors = standing.exceptions; print(errors is sys.modules['{name}.exceptions'], "
        f"sys.modules[{name!r}] is not standing)"
    )
    assert told == ["True True"]
