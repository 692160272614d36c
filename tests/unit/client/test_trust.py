"""Whom the client trusts."""

from __future__ import annotations

import ssl
from pathlib import Path

from helix_ray.client import transport


def test_without_tls_no_certificates_are_loaded() -> None:
    """Nobody shows one over plain HTTP; a context that were used by mistake would trust nobody."""
    context = transport._trust("http://h/api/v1", True)
    assert isinstance(context, ssl.SSLContext)
    assert context.get_ca_certs() == []
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


def test_over_tls_the_usual_ones_are_trusted_and_a_file_adds_its_own(certificate: tuple[Path, Path]) -> None:
    assert transport._trust("https://h/api/v1", True) is True
    assert transport._trust("https://h/api/v1", False) is False
    usual = ssl.create_default_context().cert_store_stats()["x509"]
    context = transport._trust("https://h/api/v1", str(certificate[0]))
    assert isinstance(context, ssl.SSLContext)
    assert context.cert_store_stats()["x509"] == usual + 1
