"""Which headers every response has."""

from __future__ import annotations

import pytest

from serve_app.edge.security_headers import for_answer
from serve_app.edge.unparsed import headers_for

HSTS = b"strict-transport-security"


@pytest.mark.parametrize(("scheme", "told"), [("https", True), ("http", False), (None, False)])
def test_only_tls_asks_browsers_to_stay_with_tls(scheme: str | None, told: bool) -> None:
    """Of a request, and of what never became one."""
    for headers in (for_answer("/api/v1/tasks", [], scheme), for_answer("/docs", [], scheme)):
        assert (HSTS in dict(headers)) == told
    assert (HSTS in dict(headers_for("192.0.2.1", scheme))) == told
