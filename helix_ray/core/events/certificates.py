"""Facts about the certificate of the public port."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from helix_ray.core.origin import REFUSED, Outcome


@dataclass(slots=True)
class CertificateChanged:
    """Other files were read, and are used. `id` is the SHA-256 of the certificate in hex, `expires_at` in
    epoch seconds."""

    id: str
    expires_at: float


@dataclass(slots=True)
class CertificateRefused:
    """Other files were read, and cannot be used; the certificate in use is kept. `id` is the SHA-256 of the
    certificate in them, "" without one."""

    outcome: ClassVar[Outcome] = REFUSED

    id: str
    reason: str
