"""A made host for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.accelerators.tree import Tree


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Give a host without devices."""
    return Tree(tmp_path)
