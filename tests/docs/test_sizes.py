"""A file does one thing and a function fits on a screen: product, tests, benchmarks, examples and
tools keep to the bounds."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = ("helix_ray", "actors", "serve_app", "launcher", "tests", "benchmarks", "examples", "tools")
FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70


def files() -> Iterator[tuple[str, str]]:
    """Give every Python file, by its path from the root, and its text."""
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield str(path.relative_to(ROOT)), path.read_text()


def test_files_are_short() -> None:
    """A file of more lines is split by noun or by behaviour."""
    sizes = {name: len(text.splitlines()) for name, text in files()}
    assert len(sizes) > 500
    assert {name: lines for name, lines in sizes.items() if lines > FILE_LINES_MAX} == {}


def test_functions_are_short() -> None:
    """A function of more lines is several functions."""
    found = {
        f"{name}:{node.lineno} {node.name}": node.end_lineno - node.lineno + 1
        for name, text in files()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.end_lineno is not None
    }
    assert {where: lines for where, lines in found.items() if lines > FUNCTION_LINES_MAX} == {}
