"""Modules beside the program that a function imports while it runs travel with the call."""

from __future__ import annotations

import sys
from base64 import b64decode
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import cloudpickle
import pytest

from helix_ray.cluster import lazy_imports
from helix_ray.cluster.payload import Frozen, pack
from helix_ray.execution.carried_modules import withdraw

FILES = {
    "plain.py": "import deeper\nVALUE = deeper.VALUE + 1\n",
    "deeper.py": "VALUE = 41\ndef double(n):\n    import lazier\n    return lazier.times(n)\n",
    "lazier.py": "def times(n):\n    return 2 * n\n",
    "unused.py": "VALUE = 0\n",
    "pkg/__init__.py": "",
    "pkg/one.py": "from . import two\nfrom .sub.three import THREE\nSUM = two.TWO + THREE\n",
    "pkg/two.py": "TWO = 2\n",
    "pkg/sub/__init__.py": "NAME = __name__\n",
    "pkg/sub/three.py": "from ..two import TWO\nTHREE = TWO + 1\n",
    "pkg/left.py": "",
    "spaced/inner.py": "HERE = 'no __init__'\n",
    "broken.py": "def (:\n",
    "state.py": "COUNT = [0]\n",
}


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program's folder with modules beside it."""
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.fixture(autouse=True)
def end() -> Iterator[None]:
    """What travelled with a function goes with it, as an executor sees to."""
    yield
    withdraw()


def written(body: str, **names: Any) -> Callable[..., Any]:
    """Return the function `work` of a main module."""
    namespace: dict[str, Any] = {"__name__": "__main__", **names}
    exec(dedent(body), namespace)
    work: Callable[..., Any] = namespace["work"]
    return work


def carried(function: Callable[..., Any]) -> set[str]:
    """Return the modules that travel with a function."""
    return set(Frozen(function).sources)


def elsewhere(function: Callable[..., Any], *args: Any) -> Any:
    """Return the value of a call in a process without the program's folder."""
    payload = pack(Frozen(function), args, {}, None)
    path, sys.path[:] = list(sys.path), [place for place in sys.path if place != str(Path.cwd())]
    try:
        loaded, arguments, _ = cloudpickle.loads(b64decode(payload))
        return loaded(*arguments)
    finally:
        sys.path[:] = path
        withdraw()


WORK = {
    "a module": ("import plain; return plain.VALUE", 42, {"plain", "deeper", "lazier"}),
    "a name of a module": ("from plain import VALUE as v; return v", 42, {"plain", "deeper", "lazier"}),
    "what that imports while it runs": ("import deeper; return deeper.double(4)", 8, {"deeper", "lazier"}),
    "a module of a package": (
        "import pkg.one; return pkg.one.SUM",
        5,
        {"pkg", "pkg.one", "pkg.two", "pkg.sub", "pkg.sub.three"},
    ),
    "a module as a name of its package": (
        "from pkg import two; return two.TWO", 2, {"pkg", "pkg.two"},
    ),
    "a package without a file": (
        "import spaced.inner; return spaced.inner.HERE", "no __init__", {"spaced", "spaced.inner"},
    ),
    "a name that is written out": (
        "import importlib; return importlib.import_module('pkg.two').TWO", 2, {"pkg", "pkg.two"},
    ),
    "an inner function": (
        "def inner():\n        import lazier; return lazier.times(3)\n    return inner()", 6, {"lazier"},
    ),
    "an installed module": ("import numpy; return int(numpy.int8(3))", 3, set()),
    "a module of Python": ("import json; return json.loads('3')", 3, set()),
}  # fmt: skip


@pytest.mark.parametrize(("body", "value", "modules"), WORK.values(), ids=WORK.keys())
def test_what_a_function_imports_travels(program: Path, body: str, value: Any, modules: set[str]) -> None:
    """With all that this imports in turn, and nothing else of the folder."""
    work = written(f"def work():\n    {body}\n")
    assert carried(work) == modules
    assert elsewhere(work) == value
    assert not any(name in sys.modules for name in modules)


def test_a_function_that_is_reached_is_searched_too(program: Path) -> None:
    """In a global of the function, a method, a default, and an argument."""
    work = written(
        """
        def helped():
            import lazier
            return lazier.times(1)

        class Thing:
            def method(self):
                import pkg.two
                return pkg.two.TWO

        def work(default=helped):
            return default(), Thing().method()
        """
    )
    assert carried(work) == {"lazier", "pkg", "pkg.two"}
    assert elsewhere(work) == (2, 2)
    assert (
        elsewhere(
            written("def work(given): return given()"),
            written("def work(): import plain; return plain.VALUE"),
        )
        == 42
    )


def test_an_import_that_is_relative_is_of_the_functions_package(program: Path) -> None:
    """A function of a package by value: its module was imported at the top of the program."""
    work = written("def work():\n    from .two import TWO\n    return TWO", __package__="pkg")
    assert carried(work) == {"pkg", "pkg.two"}
    assert elsewhere(work) == 2


def test_what_cannot_be_found_fails_on_the_node_as_anywhere(program: Path) -> None:
    """A module that does not exist, and one that is no Python."""
    assert carried(written("def work():\n    import nowhere, broken, pkg.nowhere")) == {"pkg"}
    with pytest.raises(ModuleNotFoundError, match="nowhere"):
        elsewhere(written("def work():\n    import nowhere"))


def test_modules_are_there_for_their_function_only(program: Path) -> None:
    """The next one cannot import them, its own again finds them as it left them; a change replaces them."""
    count = written("def work():\n    import state\n    state.COUNT[0] += 1\n    return state.COUNT[0]")
    assert [elsewhere(count), elsewhere(count)] == [1, 2]
    with pytest.raises(ModuleNotFoundError):
        elsewhere(written("def work(name):\n    return __import__(name)"), "state")
    (program / "state.py").write_text("COUNT = [10]\n")
    assert elsewhere(count) == 11


def test_the_programs_version_of_a_module_counts(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another one of this name on the node is out of the way meanwhile; the same one is taken from there."""
    there = program.parent / f"{program.name}-node"
    there.mkdir()
    (there / "plain.py").write_text("VALUE = 'of the node'\n")
    (there / "lazier.py").write_text(FILES["lazier.py"])
    monkeypatch.syspath_prepend(str(there))
    sys.path.remove(str(program))
    sys.path.insert(0, str(program))
    work = written(
        "def work():\n    import plain, lazier\n    return plain.VALUE, plain.__file__, lazier.__file__"
    )
    assert elsewhere(work) == (42, str(program / "plain.py"), str(there / "lazier.py"))
    sys.path.remove(str(program))
    import plain

    assert plain.VALUE == "of the node"
    sys.path.insert(0, str(program))
    assert elsewhere(work)[0] == 42
    assert sys.modules["plain"] is plain
    monkeypatch.delitem(sys.modules, "plain")
    monkeypatch.delitem(sys.modules, "lazier")


def test_an_error_in_a_module_shows_its_line(program: Path) -> None:
    """The traceback has the text of the source, which is no file on the node."""
    (program / "failing.py").write_text("def fail():\n    raise OSError('here')\n")
    with pytest.raises(OSError, match="here") as raised:
        elsewhere(written("def work():\n    import failing\n    failing.fail()"))
    assert str(raised.traceback[-1].path) == str(program / "failing.py")


def test_what_travels_has_a_limit(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Above it nothing does, and the warning says what to use."""
    monkeypatch.setattr(lazy_imports, "SOURCES_BYTES_MAX", 50)
    with pytest.warns(UserWarning, match=r"deeper, lazier, plain: .* bytes, more than the 50 .* working_dir"):
        assert carried(written("def work():\n    import plain")) == set()
