"""Orders about the certificate of the public port."""

from __future__ import annotations

from helix_ray.core.decide.outcome import Context, Decider, Decision
from helix_ray.core.events import CertificateChanged, CertificateRefused, Event
from helix_ray.core.orders import NoteCertificate
from helix_ray.core.orders.kind import NoData


def note_certificate(body: NoteCertificate, ctx: Context) -> Decision[NoData]:
    """Record it."""
    fact: Event = (
        CertificateRefused(body.fingerprint, body.refused)
        if body.refused
        else CertificateChanged(body.fingerprint, body.expires_at)
    )
    return Decision([fact], {})


CERTIFICATE_ORDERS: dict[type, Decider] = {NoteCertificate: note_certificate}
