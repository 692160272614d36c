"""Certificates for tests: made on the spot, for 127.0.0.1."""

from __future__ import annotations

import ipaddress
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

ADDRESS = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate with its key."""

    cert: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def fingerprint(self) -> str:
        """Return the SHA-256 of the certificate in hex."""
        return self.cert.fingerprint(hashes.SHA256()).hex()

    def cert_pem(self) -> bytes:
        """Return the certificate."""
        return self.cert.public_bytes(serialization.Encoding.PEM)

    def key_pem(self) -> bytes:
        """Return the key."""
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def write(self, folder: Path, name: str = "") -> tuple[Path, Path]:
        """Write both, as `cert.pem` and `key.pem`."""
        cert_file, key_file = folder / f"{name}cert.pem", folder / f"{name}key.pem"
        cert_file.write_bytes(self.cert_pem())
        key_file.write_bytes(self.key_pem())
        return cert_file, key_file


def made(
    name: str = "localhost",
    *,
    signed_by: Pair | None = None,
    begins_days: float = -1.0,
    ends_days: float = 1.0,
    names: x509.ExtensionType = ADDRESS,
) -> Pair:
    """Make a certificate that signs itself, or that another one signs; it may sign others. `names` is its
    extension of further names."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.fromtimestamp(time.time(), UTC)
    issuer = subject if signed_by is None else signed_by.cert.subject
    cert = (
        x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now + timedelta(days=begins_days))
        .not_valid_after(now + timedelta(days=ends_days))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=signed_by is None, path_length=None), critical=True)
        .sign(key if signed_by is None else signed_by.key, hashes.SHA256())
    )
    return Pair(cert, key)
