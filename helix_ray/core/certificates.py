"""Certificates of external workers: whose one is, and what of it a fact keeps."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from helix_ray.core.errors import Rejected, forbidden

MISSING: Final = "certificate_missing"
EXPIRED: Final = "certificate_expired"
NOT_ALLOWED: Final = "certificate_not_allowed"
OTHER_NAME: Final = "certificate_of_another_worker"


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """A certificate that a client has shown and whose authority is trusted.

    `names` are its DNS names, or its common name where it has none of these; `subject` is that of RFC 4514,
    `fingerprint` the SHA-256 in hex, `expires_at` in epoch seconds.
    """

    names: tuple[str, ...]
    subject: str
    fingerprint: str
    expires_at: float


@dataclass(frozen=True, slots=True)
class CertificateRules:
    """`demanded`: workers must show one. `allowed`: the fingerprints of those that count; None: all."""

    demanded: bool = False
    allowed: Collection[str] | None = None


def refused_certificate(
    shown: ClientCertificate | None, rules: CertificateRules, now: float
) -> Rejected | None:
    """Refuse a worker's request without a certificate, or with one that does not count any more."""
    if shown is None:
        if not rules.demanded:
            return None
        return forbidden("Workers must present a client certificate", reason=MISSING)
    if shown.expires_at < now:
        return forbidden("The client certificate has expired", **_said(shown, EXPIRED))
    if rules.allowed is not None and shown.fingerprint not in rules.allowed:
        return forbidden(
            "The client certificate is not on the list of allowed ones", **_said(shown, NOT_ALLOWED)
        )
    return None


def bound_worker(shown: ClientCertificate | None, worker_id: str | None) -> str | Rejected | None:
    """Return the id of the worker that a request is from: the certificate's name, where it has one; refuse
    the id of another worker."""
    if shown is None or worker_id in shown.names:
        return worker_id
    if worker_id is None and shown.names:
        return shown.names[0]
    return forbidden(
        "The client certificate is that of another worker",
        **_said(shown, OTHER_NAME),
        names=list(shown.names),
        worker_id=worker_id,
    )


def _said(shown: ClientCertificate, reason: str) -> dict[str, str]:
    return {"reason": reason, "subject": shown.subject, "fingerprint": shown.fingerprint}
