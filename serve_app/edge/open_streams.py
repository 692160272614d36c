"""Limits how many long responses a user may have open at this replica: logs that are followed,
results that are awaited."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from helix_ray.core.errors import ErrorCode, Refused, Rejected
from helix_ray.core.limits import STREAMS

STREAMS_OPEN_MAX = 100
RETRY_AFTER_S = 1


class OpenStreams:
    """Counts open responses by key; refuses more than `open_max`."""

    def __init__(self, open_max: int = STREAMS_OPEN_MAX) -> None:
        self._open_max = open_max
        self._open: dict[str, int] = {}

    @contextmanager
    def hold(self, key: str | None) -> Iterator[None]:
        """Count one response until the block ends; raise Refused where the user has too many open.

        Without a key the response is short and not counted.
        """
        if key is None:
            yield
            return
        if self._open.get(key, 0) >= self._open_max:
            raise Refused(self._refusal())
        self._open[key] = self._open.get(key, 0) + 1
        try:
            yield
        finally:
            self._open[key] -= 1
            if not self._open[key]:
                del self._open[key]

    def __len__(self) -> int:
        return sum(self._open.values())

    def _refusal(self) -> Rejected:
        message = f"Too many open streams: the limit is {self._open_max} per user. Close one first"
        details = {"policy": STREAMS.name, "open_max": self._open_max, "retry_after_s": RETRY_AFTER_S}
        return Rejected(ErrorCode.RATE_LIMIT_EXCEEDED, message, details)
