"""Records changes of the certificate: a fact for the audit, and an event for administrators.

Each replica reads the files by itself. The key of the order is made of the files and of what became of them,
so the first replica records it, and the others get its receipt.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from hashlib import sha256

from helix_ray.core.access import SYSTEM
from helix_ray.core.errors import Rejected
from helix_ray.core.orders import NoteCertificate, Order
from helix_ray.ports import ControlPlane
from helix_ray.wire.ids import new_seed
from serve_app.public_port.certificates import CertificateChange

log = logging.getLogger(__name__)

REQUEST_ID = "req-certificate"

_control: list[ControlPlane] = []


def record_with(control: ControlPlane) -> None:
    """Set the control plane of this process, which exists before its port is open."""
    _control[:] = [control]


async def record(change: CertificateChange) -> None:
    """Record a change; what a replica begins with is none."""
    if not change.files or not _control:
        return
    body = NoteCertificate(change.fingerprint, change.expires_at, change.refused)
    said = sha256(f"{change.files} {change.refused}".encode()).hexdigest()
    key = f"{SYSTEM.id}:certificate {said}"
    answer = await _control[0].execute(Order(body, SYSTEM, REQUEST_ID, new_seed(), key, said))
    if isinstance(answer, Rejected):
        log.error("the change of the certificate could not be recorded: %s", answer.message)


def recording(loop: asyncio.AbstractEventLoop) -> Callable[[CertificateChange], None]:
    """Return a callback for changes, which may be called on any thread and records them on this loop."""
    waiting: set[asyncio.Task[None]] = set()

    def begin(change: CertificateChange) -> None:
        task = loop.create_task(record(change))
        waiting.add(task)
        task.add_done_callback(waiting.discard)

    def tell(change: CertificateChange) -> None:
        loop.call_soon_threadsafe(begin, change)

    return tell
