"""Values have types: how often the product says `dict[str, Any]` is counted, and bounded."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("helix_ray", "actors", "serve_app", "launcher")
UNTYPED = re.compile(r"dict\[str, Any\]")
# JSON of a user's own: results, arguments, pieces of what a program reports.
JSON_OF_USERS = re.compile(r"\bJsonObject\b")
UNTYPED_MAX = 100


def count_of(what: re.Pattern[str]) -> int:
    """Return how often a pattern stands in the product."""
    paths = (path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    return sum(len(what.findall(path.read_text())) for path in paths)


def test_few_values_have_no_type() -> None:
    """An object whose fields are known is a TypedDict (core/specs.py, core/views/, wire/); the alias for
    JSON of users is no way round that, and its uses are counted as well."""
    untyped, of_users = count_of(UNTYPED), count_of(JSON_OF_USERS)
    print(f"dict[str, Any]: {untyped} places, JsonObject: {of_users} with its imports")
    assert untyped < UNTYPED_MAX
    assert untyped + of_users < UNTYPED_MAX + 30
