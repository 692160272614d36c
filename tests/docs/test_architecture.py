"""docs/architecture.md names every folder and module of the packages, and nothing that is not there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGE = DOCS / "architecture.md"
PACKAGES = ("helix_ray", "actors", "serve_app", "launcher")
# A folder's docstring speaks for these.
SPOKEN_FOR = ("__init__.py", "__main__.py")
HEADING = re.compile(r"^### `([a-z_/]+)/`", re.MULTILINE)
ENTRY = re.compile(r"^- `([a-z_]+\.(?:py|sql))`: \S", re.MULTILINE)
PATH = re.compile(r"`([a-z_]+(?:/[a-z_]+)*\.(?:py|sql|md))`")
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


def documented() -> list[str]:
    """Return the modules, as the page lists them."""
    parts = HEADING.split(PAGE.read_text())[1:]
    sections = zip(parts[::2], parts[1::2], strict=True)
    return [f"{folder}/{name}" for folder, section in sections for name in ENTRY.findall(section)]


def present() -> set[str]:
    """Return the modules, as they lie there."""
    paths = (path for package in PACKAGES for path in (ROOT / package).rglob("*"))
    modules = (path for path in paths if path.suffix in (".py", ".sql") and path.name not in SPOKEN_FOR)
    return {str(path.relative_to(ROOT)) for path in modules}


def test_every_module_is_named_in_its_folder_and_no_name_is_stale() -> None:
    """The page is the map: what it lacks, or what is gone, would mislead."""
    named = set(documented())
    assert (sorted(present() - named), sorted(named - present())) == ([], []), "(not named, not there)"


def test_no_module_is_named_twice() -> None:
    """One place for each."""
    names = documented()
    assert len(set(names)) == len(names)


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
