"""docs/glossary.md speaks of names that the code has, and a class name of the product means one thing."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("helix_ray", "actors", "serve_app", "launcher")
# The first cell of a row: a term, and its names in the code in parentheses.
ROW = re.compile(r"^\| ([^|(]+)\((`[^)]+`)\) \|", re.MULTILINE)
NAME = re.compile(r"`([A-Za-z_]+)`")
# Words of a private vocabulary that the terms of the glossary have replaced.
REPLACED = frozenset(
    (
        "seat", "seats", "misfit", "misfits", "lend", "lending", "lender", "borrow", "borrower", "doubt",
        "doubts", "settle", "settles", "told", "teller", "tellers", "touched", "retire", "retires", "retired",
        "retiring", "whoever",
    )
)  # fmt: skip
# Names of facts in journals.
KEPT = frozenset({"TasksRetired", "WorkerRetired"})
WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def modules() -> dict[str, str]:
    """Return the text of every module of the product, by path."""
    paths = (path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    return {str(path.relative_to(ROOT)): path.read_text() for path in paths}


def test_every_term_of_the_glossary_is_a_name_in_the_code() -> None:
    """A term that the code does not use would be a word of the page alone."""
    used = {word for text in modules().values() for word in re.findall(r"\w+", text)}
    rows = ROW.findall((ROOT / "docs" / "glossary.md").read_text())
    named = {name for _, names in rows for name in NAME.findall(names)}
    assert len(rows) > 20
    assert named - used == set()


def test_the_glossary_is_linked() -> None:
    """From the README and from the architecture page."""
    for page in (ROOT / "README.md", ROOT / "docs" / "architecture.md"):
        assert "glossary.md" in page.read_text(), page.name


def test_no_class_name_stands_for_two_things() -> None:
    """Who reads a name in a traceback, or searches for it, finds one class."""
    places = defaultdict(list)
    for path, text in modules().items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(path)
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_replaced_words_are_in_no_name() -> None:
    """No class, function, argument, attribute or variable of the product is called by a replaced word."""
    found = {
        f"{path}: {name}"
        for path, text in modules().items()
        for node in ast.walk(ast.parse(text))
        for name in _names(node)
        if name not in KEPT and REPLACED & {word.lower() for word in WORD.findall(name)}
    }
    assert found == set()


def _names(node: ast.AST) -> list[str]:
    if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
        return [node.name]
    if isinstance(node, ast.arg):
        return [node.arg]
    if isinstance(node, ast.Attribute):
        return [node.attr]
    return [node.id] if isinstance(node, ast.Name) else []
