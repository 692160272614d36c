"""Reads the certificate that a client showed in its handshake, once for each connection."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from helix_ray.core.certificates import ClientCertificate

if TYPE_CHECKING:
    from cryptography import x509

log = logging.getLogger(__name__)

# Where a connection puts it in the state of its requests.
SHOWN: Final = "client_certificate"


def shown_by(transport: Any) -> ClientCertificate | None:
    """Return the certificate of a connection's client; None without TLS, and where it showed none.

    The handshake has verified its signature, authority and dates.
    """
    tls = transport.get_extra_info("ssl_object")
    der = tls.getpeercert(binary_form=True) if tls is not None else None
    if not der:
        return None
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    try:
        found = x509.load_der_x509_certificate(der)
        return ClientCertificate(
            _names(found),
            found.subject.rfc4514_string(),
            found.fingerprint(hashes.SHA256()).hex(),
            found.not_valid_after_utc.timestamp(),
        )
    except (
        ValueError,
        x509.DuplicateExtension,
        x509.InvalidVersion,
        x509.UnsupportedGeneralNameType,
    ) as error:
        # OpenSSL takes more than the library reads: who showed it is not known, as if it had not been shown.
        log.warning("a client certificate cannot be read: %s", error)
        return None


def _names(cert: x509.Certificate) -> tuple[str, ...]:
    """Return the DNS names; the common name counts where there are none."""
    from cryptography import x509

    try:
        found = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = found.get_values_for_type(x509.DNSName)
    except x509.ExtensionNotFound:
        names = []
    if not names:
        names = [str(each.value) for each in cert.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)]
    return tuple(names)
