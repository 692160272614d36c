"""The allow-list."""

from __future__ import annotations

import contextlib
import sys

import pytest

from helix_ray import samples
from helix_ray.config import Settings
from helix_ray.execution.allow import Allow, NotAllowed, NotThere


def test_what_is_listed_is_allowed_and_nothing_else() -> None:
    """Exact names, and every public name of exact modules."""
    allow = Allow.parse(" helix_ray.samples:add , json:* ,")
    assert allow.allows("helix_ray.samples:add")
    assert allow.allows("json:dumps")
    for name in (
        "helix_ray.samples:echo",
        "helix_ray:samples",
        "json.decoder:JSONDecoder",
        "json:decoder.JSONDecoder",
        "json:_default_encoder",
        "json:__builtins__",
        "_json:make_encoder",
        "json.tool:main",
        "json:",
        ":dumps",
        "json",
        "json:dumps\n",
        " json:dumps",
        "json:*",
        "",
    ):
        assert not allow.allows(name), name


def test_an_empty_list_allows_nothing() -> None:
    """Deny is the default."""
    assert not Allow.parse("").allows("helix_ray.samples:add")


@pytest.mark.parametrize("text", ["os", "os:*:x", "*:*", "os.*:system", "_os:x", "os:_x", "os:a.b", "a..b:c"])
def test_malformed_lists_are_refused(text: str) -> None:
    """A typing error in the list does not pass silently."""
    with pytest.raises(ValueError, match="not in the form"):
        Allow.parse(text)


def test_resolve_imports_nothing_that_is_not_allowed() -> None:
    """A refused name does not even have its module imported."""
    sys.modules.pop("this", None)
    with pytest.raises(NotAllowed, match="this:s"):
        Allow.parse("json:*").resolve("this:s")
    assert "this" not in sys.modules


def test_resolve_takes_own_functions_only() -> None:
    """Under module:* a name that the module merely imported is refused; listed by itself it is taken."""
    assert Allow.parse("helix_ray.samples:*").resolve("helix_ray.samples:add")(1, 2) == 3
    with pytest.raises(NotAllowed, match="only imported there"):
        Allow.parse("functools:*").resolve("functools:namedtuple")
    with pytest.raises(NotThere, match="not a function"):
        Allow.parse("shutil:os").resolve("shutil:os")
    with pytest.raises(NotThere, match="no function 'missing'"):
        Allow.parse("shutil:*").resolve("shutil:missing")
    with pytest.raises(NotThere, match="cannot be imported here"):
        Allow.parse("no_such_module_here:*").resolve("no_such_module_here:x")


def test_nothing_but_the_samples_can_be_reached_by_default() -> None:
    """Of all that stands in their module, also what it imports for itself, only the functions that it offers
    can be named; what these do with any JSON is to calculate."""
    allow = Allow.parse(Settings().function_allow)
    reached = set()
    for name in (*vars(samples), *dir(object), "os.system", "os:system", "add.__globals__", "../os"):
        with contextlib.suppress(NotAllowed, NotThere):
            allow.resolve(f"helix_ray.samples:{name}")
            reached.add(name)
    assert reached == set(samples.__all__)
