"""The posture follows from the findings alone: every check has its line, the worst one gives the level."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import pytest

from helix_ray.core.posture import DAY_S, AuditCheck, CheckName, Findings, JournalCheck, assess

NOW = 1_700_000_000.0
GOOD = Findings(
    api="tls",
    certificate_expires_at=NOW + 90 * DAY_S,
    ray="loopback",
    ray_token=True,
    isolation={"namespaces": 2, "namespaces-without-proc": 1},
    sealed=True,
    exposed=[],
    keys={"jwt.key": NOW - DAY_S},
    password_chars_min=15,
    journal=JournalCheck(NOW - 60.0, 48_211),
    audit=AuditCheck(NOW - 50.0, 48_211, 43_127),
)


def found(check: str, **changed: Any) -> tuple[str, str]:
    """Return the standing of one check and its reason, with some findings changed."""
    said = {each.check: each for each in assess(replace(GOOD, **changed), NOW).reasons}
    return said[check].standing, said[check].reason  # type: ignore[index]


def test_all_is_well() -> None:
    posture = assess(GOOD, NOW)
    assert (posture.encryption, posture.level) == ("active", "enhanced")
    assert {each.check for each in posture.reasons} == {*get_args(CheckName)}
    assert {each.standing for each in posture.reasons} == {"pass"}


def test_nothing_is_known() -> None:
    """What is not known is said, and never counts as good."""
    posture = assess(Findings(isolation={}), NOW)
    assert (posture.encryption, posture.level) == ("partial", "standard")
    assert {each.check for each in posture.reasons if each.standing == "pass"} == {"api_tokens"}
    assert all(each.check != "certificate" for each in posture.reasons)


@pytest.mark.parametrize(
    ("check", "changed", "standing", "says"),
    [
        ("api_encryption", {"api": "loopback"}, "warn", "to this machine only"),
        ("api_encryption", {"api": "clear"}, "fail", "--tls-cert"),
        ("certificate", {"certificate_expires_at": None}, "unknown", "cannot be read"),
        ("certificate", {"certificate_expires_at": NOW}, "fail", "has expired"),
        ("certificate", {"certificate_fault": "key values mismatch"}, "fail", "the next start would fail"),
        ("certificate", {"certificate_expires_at": NOW + DAY_S}, "warn", "expires in 1 day"),
        ("certificate", {"certificate_expires_at": NOW + 60}, "warn", "expires in less than a day"),
        ("ray_encryption", {"ray": "tls"}, "pass", "RAY_USE_TLS"),
        ("ray_encryption", {"ray": "clear"}, "warn", "in clear"),
        ("ray_authentication", {"ray_token": False}, "fail", "RAY_AUTH_MODE=token"),
        ("isolation", {"isolation": {"namespaces": 1, "none": 2}}, "fail", "none on 2"),
        ("isolation", {"isolation": {"user": 1}}, "warn", "user on 1"),
        ("isolation", {"isolation": {"": 1}}, "unknown", "do not say"),
        ("sealing", {"sealed": False}, "warn", "no key"),
        ("files", {"exposed": ["a", "b"]}, "fail", "other users can read a, b"),
        ("files", {"exposed": list("abcdefg")}, "fail", "a, b, c, d, e and 2 more"),
        ("keys", {"keys": {"ray.token": NOW - 366 * DAY_S, "jwt.key": NOW}}, "warn", "days: ray.token"),
        ("api_tokens", {"oldest_token_at": NOW - 400 * DAY_S}, "warn", "400 days old"),
        ("api_tokens", {"oldest_token_at": NOW - 4 * DAY_S}, "pass", "4 days old"),
        ("passwords", {"password_chars_min": 14}, "warn", "HELIX_PASSWORD_CHARS_MIN to 15"),
        ("passwords", {"password_chars_min": 64}, "pass", "64 characters"),
        ("passwords", {"password_chars_min": None}, "unknown", "not known"),
        ("journal", {"journal": JournalCheck(NOW - 8 * DAY_S, 9)}, "warn", "9 facts were checked 8 days ago"),
        ("journal", {"journal": JournalCheck(NOW, 9, "fact 4 was changed")}, "fail", "fact 4 was changed"),
        ("journal", {"journal_damage": "fact 4 was changed"}, "fail", "failed: fact 4 was changed"),
        ("audit", {"audit": AuditCheck(NOW - 8 * DAY_S, 9, 7)}, "warn", "7 records"),
        ("audit", {"audit_difference": "fact 4 has no record"}, "fail", "4 has no record; stop the server"),
    ],
)
def test_each_check_says_what_it_found(check: str, changed: dict[str, Any], standing: str, says: str) -> None:
    """One finding changes one standing, the level with it, and names what to do."""
    told, reason = found(check, **changed)
    assert (told, says in reason) == (standing, True), reason
    level = assess(replace(GOOD, **changed), NOW).level
    assert level == {"pass": "enhanced", "fail": "basic"}.get(standing, "standard")


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"api": "clear"}, "inactive"),
        ({"api": "clear", "ray": "tls"}, "inactive"),
        ({"api": "loopback"}, "partial"),
        ({"api": None}, "partial"),
        ({"ray": "clear"}, "partial"),
        ({"ray": None}, "partial"),
        ({"sealed": False}, "partial"),
        ({"ray": "tls"}, "active"),
    ],
)
def test_the_encryption_status_needs_all_ways(changed: dict[str, Any], status: str) -> None:
    assert assess(replace(GOOD, **changed), NOW).encryption == status
