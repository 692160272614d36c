"""One running API for the tests of this folder that leave nothing behind that others would see."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.http.api_server import Api, serving_api


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    """Give a running API for the tests of one file."""
    with serving_api() as running:
        yield running


@pytest.fixture(scope="module")
def admin(api: Api) -> httpx.Client:
    """Give a client of the administrator."""
    return api.client()
