"""Orders about the certificate of the public port."""

from __future__ import annotations

from dataclasses import dataclass

from helix_ray.core.access import SYSTEM_ONLY
from helix_ray.core.orders.kind import NoData, OrderKind


@dataclass(frozen=True, slots=True)
class NoteCertificate(OrderKind[NoData]):
    """Record what became of other files: in use, or `refused` and why. Every replica reads them, and its key
    is made of the files: only one is recorded."""

    allowed = SYSTEM_ONLY
    needs_key = True

    fingerprint: str
    expires_at: float = 0.0
    refused: str = ""
