"""The body of a webhook request: `data`, `event`, `signature` and `timestamp`, in canonical JSON.

All but the signature is the same for every webhook and every try, so it is made once for each notice.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from helix_ray.core.notices import Notice
from helix_ray.core.secrets import MASK
from helix_ray.webhooks.canonical import canonical
from helix_ray.webhooks.signing import body_signature
from helix_ray.wire.times import iso

DATA_BYTES_MAX = 20 * 1024
API = "/api/v1"
# Where a subject of these kinds can be read.
PLACES = {"task": "tasks", "worker": "workers", "node": "nodes", "project": "projects", "model": "models"}


class Payload(NamedTuple):
    """The canonical JSON before and after the signature, without the comma between them."""

    before: bytes
    after: bytes

    @property
    def signed(self) -> bytes:
        """What the signature in the body covers: the canonical JSON of the body without it."""
        return self.before + b"," + self.after

    def body(self, secret: str) -> bytes:
        """Return the whole body, signed with a webhook's secret."""
        signature = body_signature(self.signed, secret).encode()
        return b'%b,"signature":"%b",%b' % (self.before, signature, self.after)

    def masked_body(self) -> bytes:
        """Return the body as it may be shown."""
        return b'%b,"signature":"%b",%b' % (self.before, MASK.encode(), self.after)


def payload(event: str, at: float, data: Any, subject: str = "") -> Payload:
    """Return the payload of an event; `data` beyond DATA_BYTES_MAX is replaced by where its subject can be
    read."""
    text = canonical(data)
    if len(text) > DATA_BYTES_MAX:
        text = canonical({"truncated": True, "href": href_of(event, subject)})
    # Names of events and times have nothing to escape.
    before = b'{"data":%b,"event":"%b"' % (text, event.encode())
    return Payload(before, b'"timestamp":"%b"}' % iso(at).encode())


def payload_of(notice: Notice) -> Payload:
    """Return the payload of a notice."""
    return payload(notice.event, notice.at, notice.data, notice.subject)


def href_of(event: str, subject: str) -> str:
    """Return the path of the API under which an event's subject can be read."""
    place = PLACES.get(event.partition(".")[0])
    return f"{API}/events?after=0" if place is None else f"{API}/{place}/{subject}"
