"""One running API for the tests of this folder that leave nothing behind that others would see."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx
import pytest

from tests.http.api_server import Api, serving_api

# The fixture of tests/conftest.py: `require(tool)` gives its path.
Require = Callable[[str], str]


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    """Give a running API for the tests of one file."""
    with serving_api() as running:
        yield running


@pytest.fixture(scope="module")
def admin(api: Api) -> httpx.Client:
    """Give a client of the administrator."""
    return api.client()
