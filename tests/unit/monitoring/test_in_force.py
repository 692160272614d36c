"""What is in force is read from settings, the environment and files as they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from helix_ray.config import Settings
from helix_ray.core.posture import Findings
from helix_ray.loopback import is_loopback
from helix_ray.monitoring.in_force import look
from helix_ray.security.keys import load_or_create_key
from helix_ray.security.vault import load_vault
from tests.certificates import made

LOCAL = {"RAY_AUTH_MODE": "token"}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """The settings of a data directory with its keys."""
    home = tmp_path / "data"
    home.mkdir(mode=0o700)
    load_or_create_key(home)
    load_vault(home)
    return Settings(data_dir=home)


def test_a_private_server_on_the_loopback(settings: Settings) -> None:
    found = look(Findings(isolation={"namespaces": 1}), settings, LOCAL, "127.0.0.1")
    assert (found.api, found.ray, found.ray_token, found.sealed) == ("loopback", "loopback", True, True)
    assert (found.exposed, found.certificate_expires_at, found.journal) == ([], None, None)
    assert found.keys is not None
    assert {"jwt.key", "env.secret"} == {*found.keys}
    assert found.isolation == {"namespaces": 1}
    assert found.password_chars_min == 8


def test_what_others_can_read_is_named(settings: Settings) -> None:
    """Also keys outside the data directory; of a name alone, never of its content."""
    with TemporaryDirectory(dir="/tmp") as folder:
        token, key = Path(folder) / "token", Path(folder) / "private" / "key.pem"
        key.parent.mkdir(mode=0o700)
        for path in (token, key):
            path.write_text("secret")
            path.chmod(0o644)
        given = LOCAL | {"RAY_AUTH_TOKEN_PATH": str(token)}
        beside = replace(settings, tls_key=key)
        assert look(Findings(isolation={}), beside, given, None).exposed == []
        Path(folder).chmod(0o755)
        assert look(Findings(isolation={}), beside, given, None).exposed == ["token (mode 0644)"]
        key.parent.chmod(0o750)
        found = look(Findings(isolation={}), beside, given, None).exposed
        assert found == ["token (mode 0644)", "key.pem (mode 0644)"]


def test_files_of_a_certificate_that_cannot_be_used_are_noticed(settings: Settings, tmp_path: Path) -> None:
    """Whoever replaces them learns it before the next start; the port goes on with what it has."""
    cert, key = made().write(tmp_path)
    given = replace(settings, tls_cert=cert, tls_key=key)

    def fault() -> str | None:
        return look(Findings(isolation={}), given, LOCAL, None).certificate_fault

    assert fault() is None
    key.write_bytes(made().key_pem())
    assert fault() == "key values mismatch"
    cert.write_bytes(cert.read_bytes()[:100])
    assert fault() is not None
    key.unlink()
    assert fault() == "key.pem: No such file or directory"


def test_how_bytes_leave(settings: Settings, tmp_path: Path) -> None:
    """A certificate that is not one is unknown, and so is a server that is not ours."""

    def told(host: str, ray: str | None, cert: Path | None = None, **environment: str) -> tuple[object, ...]:
        given = Settings(data_dir=settings.data_dir, host=host, tls_cert=cert, tls_key=cert)
        found = look(Findings(isolation={}), given, environment, ray)
        return found.api, found.ray, found.ray_token, found.certificate_expires_at

    half = tmp_path / "half.pem"
    half.write_text("-----BEGIN CERTIFICATE-----\nMIIB")
    half.chmod(0o600)
    assert told("0.0.0.0", "192.0.2.1") == ("clear", "clear", None, None)
    assert told("", None, RAY_AUTH_MODE="disabled") == (None, None, False, None)
    assert told("0.0.0.0", "192.0.2.1", half, RAY_USE_TLS="1") == ("tls", "tls", None, None)


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("0.0.0.0", False),
        ("::ffff:127.0.0.1", True), ("192.0.2.7", False), ("::", False), ("", False), ("no such host", False),
        ("a" * 300, False),
    ],
)  # fmt: skip
def test_the_loopback_is_known_by_address_and_name(host: str, local: bool) -> None:
    assert is_loopback(host) == local
