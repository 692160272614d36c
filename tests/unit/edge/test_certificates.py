"""The certificate of the public port: what is loaded, what is refused, and what clients get meanwhile."""

from __future__ import annotations

import os
import ssl
import warnings
from dataclasses import replace
from pathlib import Path

import pytest

from serve_app.public_port.certificates import (
    RESTLESS_LOOKS_MAX,
    CertificateChange,
    Certificates,
    CertificateUnusable,
    TlsFiles,
    context_of,
)
from tests.certificates import Pair, made


def handshake(server: ssl.SSLContext, client: ssl.SSLContext) -> tuple[str, bytes]:
    """Speak TLS in memory; return the version, and the certificate that the client got."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [
        client.wrap_bio(to_client, to_server),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    for side in sides * 3:
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    return str(sides[0].version()), sides[0].getpeercert(binary_form=True) or b""


def careless(maximum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
    """Return a client that accepts any certificate, and speaks versions up to `maximum`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    # The library itself refuses old versions at its default level.
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        # Python warns that the old versions are not to be used.
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = min(maximum, ssl.TLSVersion.TLSv1_2)
        context.maximum_version = maximum
    return context


class Port:
    """Files with a certificate, and what is told of them."""

    def __init__(self, folder: Path, pair: Pair) -> None:
        self.folder, self.written = folder, 0
        self.told: list[CertificateChange] = []
        cert, key = pair.write(folder)
        self.files = TlsFiles(str(cert), str(key))
        self.held = Certificates(self.files, self.told.append)

    def shown(self) -> bytes:
        """Return the certificate that a client gets."""
        return handshake(self.held.context(), careless())[1]

    def write(self, cert: bytes, key: bytes) -> None:
        """Write both files, with a time that differs from the last one."""
        self.written += 1
        for name, content in (("cert.pem", cert), ("key.pem", key)):
            (self.folder / name).write_bytes(content)
            os.utime(self.folder / name, ns=(self.written, self.written))

    def look(self) -> None:
        """Look as often as it takes to see that files stay as they are."""
        self.held.look()
        self.held.look()


FIRST, SECOND = made("first"), made("second")


def der(pair: Pair) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pair.cert_pem().decode())


@pytest.fixture
def port(tmp_path: Path) -> Port:
    return Port(tmp_path, FIRST)


def test_a_changed_pair_is_used(port: Port) -> None:
    """From the second look on: a file that is being written changes between two."""
    assert (port.shown(), port.told[-1].fingerprint) == (der(FIRST), FIRST.fingerprint)
    port.write(SECOND.cert_pem(), SECOND.key_pem())
    port.held.look()
    assert port.shown() == der(FIRST)
    port.held.look()
    assert port.shown() == der(SECOND)
    ends = SECOND.cert.not_valid_after_utc.timestamp()
    assert replace(port.told[-1], files="") == CertificateChange(SECOND.fingerprint, ends)
    assert [bool(change.files) for change in port.told] == [False, True]
    told = len(port.told)
    port.look()
    assert len(port.told) == told


def test_files_that_keep_changing_are_read_at_the_fourth_look(port: Port) -> None:
    """Within the five seconds that are promised, and told once, however long they go on to change."""
    for _ in range(RESTLESS_LOOKS_MAX - 1):
        port.write(SECOND.cert_pem(), SECOND.key_pem())
        port.held.look()
    assert (port.shown(), len(port.told)) == (der(FIRST), 1)
    for _ in range(3 * RESTLESS_LOOKS_MAX):
        port.write(SECOND.cert_pem(), SECOND.key_pem())
        port.held.look()
        assert (port.shown(), len(port.told)) == (der(SECOND), 2)
    assert (port.told[-1].fingerprint, port.told[-1].refused) == (SECOND.fingerprint, "")


def test_halves_that_keep_changing_are_refused_when_they_stay(port: Port) -> None:
    """While they change, no event says so: they may be half written."""
    for _ in range(3 * RESTLESS_LOOKS_MAX):
        port.write(SECOND.cert_pem(), FIRST.key_pem())
        port.held.look()
    assert (port.shown(), len(port.told)) == (der(FIRST), 1)
    port.held.look()
    assert (port.shown(), port.told[-1].refused) == (der(FIRST), "key values mismatch")


@pytest.mark.parametrize(
    ("cert", "key", "says"),
    [
        (SECOND.cert_pem(), FIRST.key_pem(), "key values mismatch"),
        (SECOND.cert_pem()[:300], SECOND.key_pem(), "does not contain a certificate"),
        (SECOND.cert_pem(), SECOND.key_pem()[:100], "not valid PEM"),
        (SECOND.cert_pem() + FIRST.cert_pem()[:200], SECOND.key_pem(), ""),
        (b"", b"", "does not contain a certificate"),
        (b"\x00" * 4096, SECOND.key_pem(), "does not contain a certificate"),
        (SECOND.key_pem(), SECOND.key_pem(), "does not contain a certificate"),
        (made(begins_days=-9, ends_days=-1).cert_pem(), SECOND.key_pem(), ""),
    ],
    ids=["mismatch", "half cert", "half key", "half chain", "empty", "zeros", "key as cert", "other key"],
)
def test_a_bad_pair_keeps_the_one_in_use(port: Port, cert: bytes, key: bytes, says: str) -> None:
    """Clients get the old certificate, the refusal is told once, and good files are used again."""
    port.write(cert, key)
    port.look()
    port.look()
    assert port.shown() == der(FIRST)
    assert len(port.told) == 2
    assert port.told[-1].refused
    assert says in port.told[-1].refused
    assert "PRIVATE" not in port.told[-1].refused
    port.write(SECOND.cert_pem(), SECOND.key_pem())
    port.look()
    assert (port.shown(), port.told[-1].refused) == (der(SECOND), "")


@pytest.mark.parametrize(("begins", "ends", "says"), [(-9, -1, "expired on"), (1, 9, "not valid before")])
def test_a_pair_that_is_not_valid_now_is_refused(port: Port, begins: int, ends: int, says: str) -> None:
    """But a certificate that expired while it was in use does not keep a replica from starting."""
    pair = made(begins_days=begins, ends_days=ends)
    port.write(pair.cert_pem(), pair.key_pem())
    port.look()
    assert port.shown() == der(FIRST)
    assert says in port.told[-1].refused
    assert Certificates(port.files).context() is not None
    with pytest.raises(CertificateUnusable, match=says):
        context_of(port.files, expired=False)


def test_files_that_are_gone_or_closed_are_refused(port: Port) -> None:
    (port.folder / "key.pem").unlink()
    port.look()
    assert port.shown() == der(FIRST)
    assert "No such file" in port.told[-1].refused
    port.write(SECOND.cert_pem(), SECOND.key_pem())
    port.look()
    assert port.shown() == der(SECOND)


def test_links_that_are_exchanged_are_seen(tmp_path: Path) -> None:
    """As Kubernetes and certbot do it: the names stay links, and lead elsewhere."""
    for number, pair in enumerate((FIRST, SECOND)):
        (tmp_path / str(number)).mkdir()
        pair.write(tmp_path / str(number))
    live = tmp_path / "live"
    live.symlink_to("0")
    held = Certificates(TlsFiles(str(live / "cert.pem"), str(live / "key.pem")))
    (tmp_path / "next").symlink_to("1")
    (tmp_path / "next").rename(live)
    held.look()
    held.look()
    assert handshake(held.context(), careless())[1] == der(SECOND)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_old_versions_are_refused(port: Port, version: ssl.TLSVersion) -> None:
    with pytest.raises(ssl.SSLError):
        handshake(port.held.context(), careless(version))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_versions_that_are_spoken(port: Port, version: ssl.TLSVersion) -> None:
    assert handshake(port.held.context(), careless(version))[0] == version.name.replace("v1_", "v1.")


def test_an_encrypted_key_asks_nobody(port: Port) -> None:
    """OpenSSL would ask for its password on the terminal, and the server would wait."""
    from cryptography.hazmat.primitives import serialization

    secret = SECOND.key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    port.write(SECOND.cert_pem(), secret)
    port.look()
    assert port.told[-1].refused
    assert port.shown() == der(FIRST)
    again = Certificates(replace(port.files, password="secret"))
    assert handshake(again.context(), careless())[1] == der(SECOND)
