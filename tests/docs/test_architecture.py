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
LINK = re.compile(r"\]\(([^)#:]*)(?:#([^)]*))?\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
# Where a path may begin: `core/lifecycle.py` stands for helix_ray/core/lifecycle.py.
ROOTS = (ROOT, *(ROOT / package for package in PACKAGES))
CODE = (*PACKAGES, "tests", "benchmarks", "tools", "examples")
FOLDERS = "|".join(sorted({path.name for root in ROOTS for path in root.iterdir() if path.is_dir()}))
IN_CODE = re.compile(rf"(?<![\w./-])((?:{FOLDERS.replace('.', '[.]')})/[\w/]+\.(?:py|md|sql))")


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


def test_files_named_in_the_code_exist() -> None:
    """Docstrings and comments that send a reader to another file name one that is there."""
    for path in sorted(path for folder in CODE for path in (ROOT / folder).rglob("*.py")):
        for name in IN_CODE.findall(path.read_text()):
            assert any((root / name).exists() for root in ROOTS), f"{path.relative_to(ROOT)}: {name}"


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = HEADING.findall(page.read_text())
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_between_pages_lead_somewhere() -> None:
    """README and docs link to files that are there, and to headings that these have."""
    for page in (ROOT / "README.md", *sorted(DOCS.rglob("*.md"))):
        for target, heading in LINK.findall(page.read_text()):
            there = page.parent / target if target else page
            assert there.exists(), f"{page.relative_to(ROOT)}: {target}"
            assert not heading or heading in anchors(there), f"{page.relative_to(ROOT)}: {target}#{heading}"


def test_every_decision_says_what_would_change_it() -> None:
    """An ADR has its three parts, in order, and its number in its title."""
    for page in sorted((DOCS / "adr").glob("*.md")):
        text = page.read_text()
        places = [
            text.index(f"**{part}.**") for part in ("Context", "Decision", "What would change our mind")
        ]
        assert places == sorted(places), page.name
        assert text.startswith(f"# {int(page.name[:4])}. "), page.name
