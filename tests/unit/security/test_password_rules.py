"""Which passwords may be set."""

from __future__ import annotations

import pytest

from helix_ray.core.errors import ErrorCode
from helix_ray.security.password_rules import check_rules


def reason(password: str, username: str = "dora", chars_min: int = 8) -> str | None:
    """Return why a password is refused; the message never repeats it."""
    broken = check_rules(password, username=username, chars_min=chars_min)
    if broken is None:
        return None
    assert (broken.code, broken.details["field"]) == (ErrorCode.VALIDATION_ERROR, "password")
    assert len(password) <= 8 or password not in broken.message
    found: str = broken.details["reason"]
    return found


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("", "length"), ("seven77", "length"), ("x" * 257, "length"), ("\ud800abcdefgh", "characters"),
        ("password", "common"), ("Password1!", "common"), ("P@ssw0rd2026", "common"), ("12345678", "common"),
        ("qwertyuiop", "common"), ("1qaz2wsx", "common"), ("!!letmein!!", "common"), ("abababab", "common"),
        ("\uff30\uff21\uff33\uff33word1", "common"), ("Summer2026!", "common"), ("        ", "common"),
        ("dora2026", "name"), ("D0RA!!!!", "name"), ("helix-ray", "name"), ("HelixRay1", "name"),
    ],
)  # fmt: skip
def test_bad_passwords_are_refused_with_the_reason(password: str, why: str) -> None:
    assert reason(password) == why


@pytest.mark.parametrize(
    "password",
    [
        "long enough",
        "password of dora",
        "another password",
        "tr0ub4dor&3",
        "vier alte katzen",
        "20251127",
        "\u5bc6" * 7 + "\u7801x",
    ],
)
def test_length_is_what_counts_and_not_composition(password: str) -> None:
    """Common words may be in it: the list has whole passwords."""
    assert reason(password) is None


def test_the_minimum_is_a_setting_and_the_name_is_that_of_the_user() -> None:
    assert reason("long enough", chars_min=15) == "length"
    assert reason("long enough, and more", chars_min=15) is None
    assert reason("dora2026", username="anna") is None
    assert reason("worker-7-worker", username="worker-7") is None
