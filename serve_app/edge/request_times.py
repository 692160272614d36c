"""Counts the requests of this replica by the template of their route, never by their path: the number of
series does not grow with what clients ask for."""

from __future__ import annotations

import time
from typing import Final

from starlette.types import Scope

from helix_ray.core.histogram import Histogram
from helix_ray.core.views.figures import RequestsView

# Where serve_app/direct.py puts the template of the route; a path that no route has is one of the others.
TEMPLATE: Final = "helix.route"
METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})
OTHER: Final = "other"
# Of these each route has a count from its first request on: a counter that appears with the first error has
# not grown for Prometheus, and alerts miss that.
FROM_ZERO: Final = ("2xx", "4xx", "5xx")


class RequestTimes:
    """Time from the arrival of a request's headers until its response begins, and its status."""

    def __init__(self) -> None:
        self._times: dict[tuple[str, str], Histogram] = {}
        self._statuses: dict[tuple[str, str], dict[str, int]] = {}

    def note(self, scope: Scope, began: float, started: float | None, status: int) -> None:
        """Count a request that is over; times are those of time.monotonic."""
        method = scope.get("method", "GET")
        key = (method if method in METHODS else OTHER, scope.get(TEMPLATE, OTHER))
        if key not in self._times:
            self._times[key], self._statuses[key] = Histogram(), dict.fromkeys(FROM_ZERO, 0)
        self._times[key].note((time.monotonic() if started is None else started) - began)
        group = f"{status // 100}xx" if status else "none"
        self._statuses[key][group] = self._statuses[key].get(group, 0) + 1

    def rows(self) -> list[RequestsView]:
        """Return the counts of all routes."""
        return [
            {
                "method": method,
                "route": route,
                "statuses": dict(self._statuses[method, route]),
                **times.view(),
            }
            for (method, route), times in self._times.items()
        ]
