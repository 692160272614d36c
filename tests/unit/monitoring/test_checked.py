"""The results of checks are kept in signed files."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from helix_ray.core.posture import AuditCheck, JournalCheck
from helix_ray.monitoring.checked import (
    AUDIT_FILE,
    FILE,
    read_check,
    read_comparison,
    write_check,
    write_comparison,
)
from helix_ray.security.keys import HEAD_KEY_FILE, load_or_create_key, replace_key

DAMAGED = JournalCheck(12.5, 7, "fact 3 was changed")
DIFFERENT = AuditCheck(12.5, 7, 5, 3, "fact 3 has no record")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory with the journal's key."""
    load_or_create_key(tmp_path, HEAD_KEY_FILE)
    return tmp_path


def test_the_newest_result_is_read(data: Path) -> None:
    """The files are replaced whole, and only their owner can read them."""
    assert (read_check(data), read_comparison(data)) == (None, None)
    for check, compared in ((JournalCheck(1.0, 6), AuditCheck(1.0, 6, 4)), (DAMAGED, DIFFERENT)):
        write_check(data, check)
        write_comparison(data, compared)
        assert (read_check(data), read_comparison(data)) == (check, compared)
    assert {(data / name).stat().st_mode & 0o077 for name in (FILE, AUDIT_FILE)} == {0}
    assert sorted(os.listdir(data)) == sorted([FILE, AUDIT_FILE, HEAD_KEY_FILE])


def test_a_result_that_was_changed_by_hand_is_none(data: Path) -> None:
    """Whoever writes that all is well does not have the key; nor does one file stand for the other."""
    write_check(data, DAMAGED)
    write_comparison(data, DIFFERENT)
    text, signature = (data / FILE).read_text().rsplit(" ", 1)
    forged = json.dumps({**json.loads(text), "damage": None})
    other = (data / AUDIT_FILE).read_text()
    odds = (
        "",
        "[]",
        "{}",
        "\x00",
        forged,
        f"{forged} {signature}",
        text,
        f"{text} ",
        f"{text} {'0' * 64}",
        other,
    )
    for odd in odds:
        (data / FILE).write_text(odd)
        assert read_check(data) is None
    (data / FILE).write_text(f"{text} {signature}")
    assert read_check(data) == DAMAGED
    assert read_comparison(data) == DIFFERENT


def test_a_result_needs_the_key_of_the_journal(data: Path) -> None:
    """With another key it says nothing, and without one nothing is written; a key is never made."""
    write_check(data, DAMAGED)
    replace_key(data, HEAD_KEY_FILE)
    assert read_check(data) is None
    (data / HEAD_KEY_FILE).unlink()
    assert read_check(data) is None
    with pytest.raises(OSError, match="is missing"):
        write_check(data, DAMAGED)
    assert os.listdir(data) == [FILE]
    load_or_create_key(data, HEAD_KEY_FILE)
    (data / HEAD_KEY_FILE).chmod(0o644)
    assert read_check(data) is None
