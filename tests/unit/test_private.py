"""Files for their own user: what is narrowed, and what is refused with the command that narrows it."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from helix_ray.journal.sqlite import SqliteJournal
from helix_ray.private import TooWide, narrow_below, narrow_folder


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_a_wide_data_directory_and_all_below_are_narrowed(tmp_path: Path) -> None:
    """A folder of an earlier release, 0755 with 0644 files, becomes 0700 and 0600; owners' own bits stay."""
    home = tmp_path / "data"
    (home / "logs").mkdir(parents=True, mode=0o755)
    for name, was in (("journal.sqlite", 0o644), ("logs/task-1.1.log", 0o664), ("logs/tool", 0o755)):
        (home / name).touch()
        (home / name).chmod(was)
    home.chmod(0o755)
    narrow_folder(home)
    narrow_below(home)
    assert [mode(home), mode(home / "logs")] == [0o700, 0o700]
    assert [mode(home / name) for name in ("journal.sqlite", "logs/task-1.1.log", "logs/tool")] == [
        0o600,
        0o600,
        0o700,
    ]


def test_what_links_lead_to_is_left_alone(tmp_path: Path) -> None:
    """A link below the data directory does not take its target from others."""
    home, other = tmp_path / "data", tmp_path / "other"
    home.mkdir(mode=0o700)
    other.mkdir()
    (other / "file").touch()
    before = [mode(other), mode(other / "file")]
    (home / "folder").symlink_to(other)
    (home / "file").symlink_to(other / "file")
    narrow_below(home)
    assert [mode(other), mode(other / "file")] == before


def test_a_folder_of_other_things_is_refused_with_the_command(tmp_path: Path) -> None:
    """--data-dir that names a shared folder by mistake changes nothing there."""
    tmp_path.chmod(0o755)
    (tmp_path / "thesis.tex").touch(0o644)
    with pytest.raises(TooWide, match=rf"0755.* chmod -R go= {tmp_path}$"):
        narrow_folder(tmp_path)
    assert mode(tmp_path) == 0o755


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a folder to another user")
def test_a_wide_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    """Its owner has to narrow it."""
    os.chown(tmp_path, 12345, -1)
    tmp_path.chmod(0o755)
    with pytest.raises(TooWide, match="belongs to user id 12345"):
        narrow_folder(tmp_path)


def test_a_folder_that_is_not_there_or_empty_is_taken(tmp_path: Path) -> None:
    """The first start has nothing to narrow."""
    narrow_folder(tmp_path / "none")
    tmp_path.chmod(0o777)
    narrow_folder(tmp_path)
    assert mode(tmp_path) == 0o700


def test_a_journal_is_private_whatever_the_umask(tmp_path: Path) -> None:
    """Its file, its log and its index are 0600 under umask 000."""
    before = os.umask(0)
    try:
        journal = SqliteJournal(tmp_path / "data", b"k" * 32)
        found = {path.name: mode(path) for path in (tmp_path / "data").iterdir()}
        journal.close()
    finally:
        os.umask(before)
    assert {
        "journal.sqlite",
        "journal.sqlite-wal",
        "journal.sqlite-shm",
        "HEAD",
        "journal.lock",
    } <= found.keys()
    assert set(found.values()) == {0o600}
    assert mode(tmp_path / "data") == 0o700


def refused(folder: Path, **environment: str) -> str:
    """Run `helix up` with a password that cannot be; return its one line."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HELIX_")}
    done = subprocess.run(
        [sys.executable, "-m", "launcher.up", "--data-dir", str(folder / "data")],
        env=kept | environment,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert not (folder / "data").exists()
    return done.stderr


def test_a_password_that_cannot_be_is_refused_by_name(tmp_path: Path) -> None:
    """Before anything is made: its variable is named, its length and the limits, never the password."""
    line = refused(tmp_path, HELIX_ADMIN_PASSWORD="kurz")
    assert (
        line == "helix up: HELIX_ADMIN_PASSWORD: a password must have 8 to 256 characters; this one has 4\n"
    )
    assert "has 0" in refused(tmp_path, HELIX_ADMIN_PASSWORD="")
    assert "has 257" in refused(tmp_path, HELIX_ADMIN_PASSWORD="x" * 257)
    file = tmp_path / "password"
    file.write_text("kurz\n")
    file.chmod(0o600)
    assert "HELIX_ADMIN_PASSWORD_FILE: a password must" in refused(
        tmp_path, HELIX_ADMIN_PASSWORD_FILE=str(file)
    )
    both = refused(tmp_path, HELIX_ADMIN_PASSWORD="long enough", HELIX_ADMIN_PASSWORD_FILE=str(file))
    assert "both set" in both
    assert "cannot be read" in refused(tmp_path, HELIX_ADMIN_PASSWORD_FILE=str(tmp_path / "none"))
