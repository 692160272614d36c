"""Wherever code refuses a value for a limit, it says the limit, in the words or in a detail."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
LIMIT = re.compile(r"(_MAX|_max|_MIN|_min|limit)$")
# What tells a program the limit: a detail of such a name (helix_ray/core/errors.py shows it to people).
DETAIL = re.compile(r"(_max|_min|limit|maximum|minimum|minimum_above|min|max)$")
REFUSALS = {"invalid", "conflict", "Rejected", "ValueError", "BadParameter", "PayloadTooLarge"}
# No limit that a caller can keep, but room at the moment; and one that is told as "the years 1970 and 9999".
OTHERS = {"_inside_max", "EPOCH_MAX"}


def compared_limits(test: ast.expr) -> set[str]:
    names = [
        part.id if isinstance(part, ast.Name) else part.attr
        for comparison in ast.walk(test)
        if isinstance(comparison, ast.Compare)
        for part in ast.walk(comparison)
        if isinstance(part, (ast.Name, ast.Attribute))
    ]
    return {name for name in names if LIMIT.search(name)} - OTHERS


def silent_refusals(source: str) -> Iterator[int]:
    """Give the lines of refusals for a limit that do not say it."""
    for branch in (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.If)):
        limits = compared_limits(branch.test)
        if not limits:
            continue
        words = "\n".join(map(ast.unparse, branch.body))
        for call in (node for part in branch.body for node in ast.walk(part) if isinstance(node, ast.Call)):
            name = getattr(call.func, "id", getattr(call.func, "attr", ""))
            told = any(DETAIL.search(keyword.arg or "") for keyword in call.keywords)
            named = "too_large" in words or "TOO_LARGE" in words or any(limit in words for limit in limits)
            if name in REFUSALS and not told and not named:
                yield call.lineno


def test_a_refusal_for_a_limit_says_it() -> None:
    """Wherever code compares a value with a limit and refuses it, the limit is in the words or details."""
    silent = [
        f"{path.relative_to(ROOT)}:{line}"
        for package in ("helix_ray", "serve_app")
        for path in sorted((ROOT / package).rglob("*.py"))
        for line in silent_refusals(path.read_text())
    ]
    assert silent == []


def test_a_refusal_that_does_not_say_its_limit_is_found() -> None:
    assert [*silent_refusals("if len(x) > X_MAX:\n    raise ValueError('too long')")] == [2]
    assert [*silent_refusals("if len(x) > X_MAX:\n    raise ValueError(f'over {X_MAX}')")] == []
