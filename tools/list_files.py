"""Writes docs/files.md: every folder and module of the packages with the first sentence of its docstring.

Run it without arguments to write the page; a test compares the page with what it would write.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "files.md"
PACKAGES = ("helix_ray", "actors", "serve_app", "launcher")
HEAD = """# Files

Every folder and module with the first sentence of its docstring, written by `python tools/list_files.py`; a
test checks that the page is current. [architecture.md](architecture.md) says how they work together.
"""
# A folder's docstring speaks for these.
SPOKEN_FOR = ("__init__.py", "__main__.py")
SENTENCE_END = re.compile(r"(?<=[a-z0-9)`])[.:](?=\s|$)")


def first_sentence(docstring: str) -> str:
    """Return the first sentence of a docstring in one line, without its full stop."""
    paragraph = " ".join(docstring.strip().split("\n\n")[0].split())
    end = SENTENCE_END.search(paragraph + " ")
    while end is not None and paragraph[end.start()] == ":":
        end = SENTENCE_END.search(paragraph + " ", end.end())
    return paragraph if end is None else paragraph[: end.start()]


def docstring_of(path: Path) -> str:
    """Return a module's docstring; for SQL its leading comment. Raises ValueError where there is none."""
    text = path.read_text()
    if path.suffix == ".sql":
        found: str | None = text.partition("\n")[0].removeprefix("--").strip()
    else:
        found = ast.get_docstring(ast.parse(text))
    if not found:
        raise ValueError(f"{path} must have a docstring")
    return found


def folders() -> list[Path]:
    """Return the packages and their folders, parents first."""
    found = []
    for package in PACKAGES:
        inits = (ROOT / package).rglob("__init__.py")
        found += sorted(path.parent for path in inits)
    return found


def section(folder: Path) -> str:
    """Return the lines of one folder: its heading, and an entry for each module."""
    name = folder.relative_to(ROOT)
    lines = [f"## `{name}/`", "", f"{first_sentence(docstring_of(folder / '__init__.py'))}.", ""]
    modules = (path for path in folder.iterdir() if path.suffix in (".py", ".sql"))
    lines += [
        f"- `{path.name}`: {first_sentence(docstring_of(path))}"
        for path in sorted(modules)
        if path.name not in SPOKEN_FOR
    ]
    return "\n".join(lines).rstrip() + "\n"


def page() -> str:
    """Return the text of docs/files.md."""
    return "\n".join([HEAD, *map(section, folders())])


if __name__ == "__main__":
    PAGE.write_text(page())
