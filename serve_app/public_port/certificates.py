"""The certificate of the public port, which changes with its files while the port is open.

Once a second the files are looked at. Files that have changed, and then stayed as they are until the next
look, are loaded into a context of their own; only if that works does it take the place of the one in use. So
a file that is half written, a key of another certificate or one that has expired never reaches a client, and
connections that are open keep the context with which they began.
"""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    # Megabytes, which only servers with TLS load.
    from cryptography import x509

log = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 1.0
# Files that change between so many looks in a row are loaded as they are: a program that writes them over and
# over would keep an old certificate in use until it expires.
RESTLESS_LOOKS_MAX: Final = 4
REASON_CHARS_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files: the certificate chain, its key with its password, and the authorities of clients'
    certificates."""

    cert: str
    key: str
    client_ca: str | None = None
    password: str | None = field(default=None, repr=False)

    def paths(self) -> tuple[str, ...]:
        """Return the files that are looked at."""
        return (self.cert, self.key) if self.client_ca is None else (self.cert, self.key, self.client_ca)


class CertificateUnusable(Exception):
    """Files cannot be used; the message is one line without their contents."""


@dataclass(frozen=True, slots=True)
class CertificateChange:
    """What became of files that were read: the certificate that is in use from now on, or why it is not.

    `fingerprint` is the SHA-256 of the certificate in hex, `expires_at` in epoch seconds; without a
    certificate in the file they are empty. `files` are the marks of the files, "" of those of the start.
    """

    fingerprint: str = ""
    expires_at: float = 0.0
    refused: str = ""
    files: str = ""


# (mtime, size, inode, device) of each file; None for one that is not there.
_Marks = tuple[tuple[int, int, int, int] | None, ...]


class Certificates:
    """The context for handshakes. Loads the files when constructed; raises CertificateUnusable."""

    def __init__(
        self, files: TlsFiles, tell: Callable[[CertificateChange], None] = lambda change: None
    ) -> None:
        self._files = files
        self._tell = tell
        self._seen = self._tried = self._marks()
        self._context = context_of(files)
        self._restless = 0
        # One that expires while the server runs must not keep a replica from starting again.
        in_use = described(files.cert)
        self._fingerprint = in_use.fingerprint
        self._tell(in_use)

    def context(self) -> ssl.SSLContext:
        """Return the context for the next handshake."""
        return self._context

    async def watch(self) -> None:
        """Look for ever."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            # On a thread: a file system may hang, and the event loop must not.
            try:
                await asyncio.to_thread(self.look)
            except Exception:
                log.exception("the files of the certificate could not be looked at")

    def look(self) -> None:
        """Load files that have changed since they were last tried, and not since the last look; or that have
        not stayed the same for RESTLESS_LOOKS_MAX looks."""
        marks = self._marks()
        is_settled = marks == self._seen
        self._seen = marks
        self._restless = 0 if is_settled else self._restless + 1
        if marks == self._tried or not (is_settled or self._restless >= RESTLESS_LOOKS_MAX):
            return
        self._restless = 0
        before = self._fingerprint
        change = self._exchanged(marks)
        # Files that are being written may not fit together yet: they are tried once more when they stay.
        if is_settled or not change.refused:
            self._tried = marks
        if is_settled or self._fingerprint != before:
            self._tell(change)

    def _exchanged(self, marks: _Marks) -> CertificateChange:
        """Use the files, or keep what is in use."""
        found = CertificateChange()
        try:
            found = described(self._files.cert)
            context = context_of(self._files, expired=False)
            if self._marks() != marks:
                raise CertificateUnusable("the files changed while they were read")
        except CertificateUnusable as refused:
            log.error("the certificate in use is kept: %s", refused)
            return replace(found, refused=str(refused), files=str(marks))
        self._context = context
        self._fingerprint = found.fingerprint
        log.warning("using the certificate with SHA-256 %s", found.fingerprint)
        return replace(found, files=str(marks))

    def _marks(self) -> _Marks:
        return tuple(_mark(path) for path in self._files.paths())


def _mark(path: str) -> tuple[int, int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino, found.st_dev


def context_of(files: TlsFiles, *, expired: bool = True) -> ssl.SSLContext:
    """Make a context for TLS 1.2 and later; `expired` accepts a certificate that is not valid now. Raises
    CertificateUnusable."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    try:
        for path in files.paths():
            # OpenSSL would not say which one is missing.
            open(path, "rb").close()
        # With a password an encrypted key is an error; without one OpenSSL would ask on the terminal.
        context.load_cert_chain(files.cert, files.key, password=files.password or "")
        if files.client_ca is not None:
            context.load_verify_locations(files.client_ca)
            context.verify_mode = ssl.CERT_OPTIONAL
    except (OSError, ValueError) as error:
        raise CertificateUnusable(_reason(error)) from None
    if not expired:
        _check_dates(files.cert)
    return context


def described(cert: str) -> CertificateChange:
    """Return fingerprint and end of the first certificate of a file. Raises CertificateUnusable."""
    from cryptography.hazmat.primitives import hashes

    found = _first(cert)
    return CertificateChange(found.fingerprint(hashes.SHA256()).hex(), found.not_valid_after_utc.timestamp())


def _check_dates(cert: str) -> None:
    found, now = _first(cert), datetime.now(UTC)
    if found.not_valid_after_utc < now:
        raise CertificateUnusable(
            f"the certificate expired on {found.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
        )
    if found.not_valid_before_utc > now:
        raise CertificateUnusable(
            f"the certificate is not valid before {found.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
        )


def _first(cert: str) -> x509.Certificate:
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificate(Path(cert).read_bytes())
    except OSError as error:
        raise CertificateUnusable(_reason(error)) from None
    except ValueError:
        raise CertificateUnusable(f"{Path(cert).name} does not contain a certificate") from None


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        if not error.reason:  # where OpenSSL finds no PEM
            return "the certificate, its key or the CA certificates are not valid PEM"
        return error.reason.replace("_", " ").lower()[:REASON_CHARS_MAX]
    if isinstance(error, OSError) and error.strerror:
        name = Path(str(error.filename)).name if error.filename else ""
        return f"{name}: {error.strerror}".removeprefix(": ")
    return str(error)[:REASON_CHARS_MAX]
