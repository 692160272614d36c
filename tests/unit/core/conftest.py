"""A fresh stage for each test; at its end, every invariant of the state must hold."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from helix_ray.core.invariants import check
from tests.unit.core.stage import Stage


@pytest.fixture
def stage() -> Iterator[Stage]:
    """Give a stage, and check it when the test is over."""
    made = Stage()
    yield made
    assert check(made.state) == []
