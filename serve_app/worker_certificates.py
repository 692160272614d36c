"""Which worker a request is from, where workers show client certificates (ADR 95)."""

from __future__ import annotations

import time

from helix_ray.config import Settings
from helix_ray.core.certificates import (
    CertificateRules,
    ClientCertificate,
    bound_worker,
    refused_certificate,
)
from helix_ray.core.errors import Rejected
from helix_ray.security.allowed_certificates import AllowedCertificates
from serve_app.deps import Caller
from serve_app.public_port.client_certificate import SHOWN


class WorkerCertificates:
    """The rules of this server for the certificates of workers."""

    def __init__(self, settings: Settings) -> None:
        self._demanded = settings.tls_client_certs == "workers"
        listed = settings.tls_client_allow
        self._allowed = None if listed is None else AllowedCertificates(listed)

    def shown(self, caller: Caller) -> ClientCertificate | None:
        """Return the certificate of a worker's request; raise Refused where it does not count, or where
        there must be one."""
        shown: ClientCertificate | None = caller.request.scope["state"].get(SHOWN)
        if shown is None and not self._demanded:
            return None
        rules = CertificateRules(self._demanded, None if self._allowed is None else self._allowed.now())
        refusal = refused_certificate(shown, rules, time.time())
        if refusal is not None:
            caller.refuse(refusal)
        return shown

    def worker(self, caller: Caller, worker_id: str | None) -> str | None:
        """Return the id of the worker that a request is from; raise Refused where the certificate is that of
        another one."""
        bound = bound_worker(self.shown(caller), worker_id)
        if isinstance(bound, Rejected):
            caller.refuse(bound)
        return bound


def certificates_of(caller: Caller) -> WorkerCertificates:
    """Return the rules of the application that received a request."""
    found: WorkerCertificates = caller.request.scope["app"].state.worker_certificates
    return found
