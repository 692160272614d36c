"""docs/files.md lists every module of the packages, and the pages name only files that exist."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGE = DOCS / "architecture.md"
PACKAGES = ("helix_ray", "actors", "serve_app", "launcher")
# A folder's docstring speaks for these.
SPOKEN_FOR = ("__init__.py", "__main__.py")
ENTRY = re.compile(r"^- `([a-z0-9_]+\.(?:py|sql))`: \S", re.MULTILINE)
PATH = re.compile(r"`([a-z_]+(?:/[a-z_]+)*\.(?:py|sql|md))`")
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


def present() -> set[str]:
    """Return the modules, as they lie there."""
    paths = (path for package in PACKAGES for path in (ROOT / package).rglob("*"))
    modules = (path for path in paths if path.suffix in (".py", ".sql") and path.name not in SPOKEN_FOR)
    return {str(path.relative_to(ROOT)) for path in modules}


def test_the_list_of_files_is_current() -> None:
    """docs/files.md is what tools/list_files.py writes from the docstrings."""
    listed = runpy.run_path(str(ROOT / "tools" / "list_files.py"))["page"]()
    assert (DOCS / "files.md").read_text() == listed, "run: python tools/list_files.py"


def test_every_module_is_listed() -> None:
    """The list is the map: a module without an entry would be hard to find."""
    listed = set(ENTRY.findall((DOCS / "files.md").read_text()))
    assert {Path(name).name for name in present()} - listed == set()


def test_files_named_in_the_text_exist() -> None:
    """`core/lifecycle.py` stands for helix_ray/core/lifecycle.py; a bare name for one in the list."""
    known = {Path(name).name for name in present()} | set(SPOKEN_FOR)
    for page in (PAGE, *sorted((DOCS / "adr").glob("*.md")), DOCS / "operations.md", DOCS / "settings.md"):
        for name in PATH.findall(page.read_text()):
            there = (ROOT / name).exists() or (ROOT / "helix_ray" / name).exists()
            assert there or name in known, f"{page.name}: {name}"


def test_links_between_pages_lead_somewhere() -> None:
    """README and docs link to files that are there."""
    for page in (ROOT / "README.md", *sorted(DOCS.rglob("*.md"))):
        for target in LINK.findall(page.read_text()):
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)}: {target}"


def test_every_decision_says_what_would_change_it() -> None:
    """An ADR has its three parts, in order, and its number in its title."""
    for page in sorted((DOCS / "adr").glob("*.md")):
        text = page.read_text()
        places = [
            text.index(f"**{part}.**") for part in ("Context", "Decision", "What would change our mind")
        ]
        assert places == sorted(places), page.name
        assert text.startswith(f"# {int(page.name[:4])}. "), page.name
