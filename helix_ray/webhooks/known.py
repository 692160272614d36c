"""Notices that were read a moment ago, with the part of the body that all webhooks share."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from helix_ray.core.notices import Notice
from helix_ray.webhooks.body import Payload, payload_of

NOTICES_MAX = 8192
BYTES_MAX = 32 << 20


class KnownNotice(NamedTuple):
    """A notice without its data, and its payload."""

    notice: Notice
    payload: Payload


class KnownNotices:
    """The newest notices by seq; None stands for a fact that tells nobody anything, such as an erased one."""

    def __init__(self, notices_max: int = NOTICES_MAX, bytes_max: int = BYTES_MAX) -> None:
        self._notices_max, self._bytes_max = notices_max, bytes_max
        self._known: OrderedDict[int, KnownNotice | None] = OrderedDict()
        self._bytes = 0

    def __contains__(self, seq: int) -> bool:
        return seq in self._known

    def get(self, seq: int) -> KnownNotice | None:
        """Return what is known of a fact; raises KeyError where it must be read."""
        return self._known[seq]

    def put(self, seq: int, notice: Notice | None) -> None:
        """Add what a fact says; the oldest ones are forgotten."""
        self._forget(seq)
        known = None if notice is None else KnownNotice(_bare(notice), payload_of(notice))
        self._known[seq] = known
        self._bytes += _bytes_of(known)
        while len(self._known) > self._notices_max or self._bytes > self._bytes_max:
            self._forget(next(iter(self._known)))

    def clear(self) -> None:
        """Forget all: who may see what has changed."""
        self._known.clear()
        self._bytes = 0

    def _forget(self, seq: int) -> None:
        if seq in self._known:
            self._bytes -= _bytes_of(self._known.pop(seq))


def _bare(notice: Notice) -> Notice:
    return Notice(notice.seq, notice.at, notice.event, notice.subject, {}, notice.about)


def _bytes_of(known: KnownNotice | None) -> int:
    return 0 if known is None else len(known.payload.before)
