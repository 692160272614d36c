"""docs/settings.md has every setting, with the default that it has."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

from helix_ray.config import Settings

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"
ROW = re.compile(r"^\| `(HELIX_[A-Z_]+)` \| (.+?) \| (.+?) \| (.+) \|$", re.MULTILINE)
DURATIONS = ("_s", "_s_max")


def documented() -> dict[str, tuple[str, str]]:
    """Return (default, unit) by variable, as the page has them."""
    rows = ROW.findall(PAGE.read_text())
    names = [row[0] for row in rows]
    assert len(set(names)) == len(names)
    return {name: (default, unit) for name, default, unit, _ in rows}


def shown(value: Any) -> str:
    """Return a default as the page writes it."""
    if value is None or value == "":
        return "none"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def test_every_setting_is_documented_with_its_default() -> None:
    """None is missing, none is there that is no more, and no default is an old one."""
    defaults = {f"HELIX_{each.name.upper()}": shown(each.default) for each in fields(Settings)}
    assert {name: default for name, (default, _) in documented().items()} == defaults


def test_units_agree_with_names() -> None:
    """What ends in _s is in seconds, what ends in _bytes_max in bytes."""
    for name, (_, unit) in documented().items():
        if name.lower().endswith(DURATIONS):
            assert unit == "seconds", name
        if name.endswith("_BYTES_MAX"):
            assert unit == "bytes", name


def test_settings_are_in_the_order_of_the_code() -> None:
    """A reader of both finds the same things in the same places."""
    assert [name.removeprefix("HELIX_").lower() for name in documented()] == [
        each.name for each in fields(Settings)
    ]
