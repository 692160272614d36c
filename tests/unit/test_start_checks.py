"""What is refused before anything starts: passwords in clear over a network, and bad certificates."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from helix_ray.config import Settings
from launcher.node import cli as node
from launcher.up.checks import CannotStart, check, check_plain_http
from tests.certificates import made

HOME = Settings(isolation="none", port=0)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", ""])
def test_plain_http_beyond_this_machine_has_to_be_allowed(host: str, tmp_path: Path) -> None:
    """By TLS, or by a flag that says what it means."""
    there = replace(HOME, host=host)
    with pytest.raises(CannotStart, match=r"in clear.*--tls-cert.*--plain-http-on-network"):
        check_plain_http(there)
    check_plain_http(replace(there, plain_http_on_network=True))
    check_plain_http(replace(there, tls_cert=tmp_path / "cert.pem"))


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.1.2.3"])
def test_this_machine_alone_needs_no_tls(host: str) -> None:
    check_plain_http(replace(HOME, host=host))


@pytest.mark.parametrize("given", ["1", "true", "0", ""])
def test_a_wish_for_tls_between_rays_processes_is_answered(
    given: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """`helix up` keeps them on 127.0.0.1 and says that the variable has no effect there."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_USE_TLS", given)
    check(replace(HOME, data_dir=tmp_path))
    assert ("RAY_USE_TLS has no effect" in capfd.readouterr().err) == (given in ("1", "true"))


def test_a_head_is_refused_before_ray_starts(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A node that joins has no API, and needs nothing; the flag of the head reaches its API."""
    monkeypatch.setenv("RAY_AUTH_TOKEN", "token")
    words = ["start", "--head", "--node-ip", "192.0.2.7", "--data-dir", str(tmp_path)]
    assert node.main(words) == 2
    assert "the API's address 192.0.2.7 can be reached from other machines" in capfd.readouterr().err
    flags = node._parser().parse_args([*words, "--plain-http-on-network"])
    node._check_plain_http(flags)
    node._check_plain_http(node._parser().parse_args(["start", "--address", "192.0.2.7:6379"]))


@pytest.mark.parametrize(
    ("begins", "ends", "other_key", "says"),
    [(-9, -1, False, "expired on"), (1, 2, False, "not valid before"), (-1, 1, True, "key values mismatch")],
)
def test_a_certificate_that_cannot_work_is_said(
    tmp_path: Path, begins: int, ends: int, other_key: bool, says: str
) -> None:
    cert, key = made(begins_days=begins, ends_days=ends).write(tmp_path)
    if other_key:
        key.write_bytes(made().key_pem())
    with pytest.raises(CannotStart, match=says):
        check(replace(HOME, tls_cert=cert, tls_key=key))
