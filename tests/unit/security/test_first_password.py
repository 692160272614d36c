"""The first administrator's password from a file, and its way to another process."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from helix_ray.config import Settings
from helix_ray.security.first_password import BadPassword, first_password
from launcher.up import password


def test_a_file_holds_the_password_and_one_line_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What an editor adds is taken off, and nothing else; a file that others can read
    is taken with a warning."""
    file = tmp_path / "password"
    file.write_bytes(b" correct horse \r\n")
    file.chmod(0o600)
    assert first_password(Settings(admin_password_file=file)) == " correct horse "
    assert capsys.readouterr().err == ""
    file.chmod(0o444)
    assert first_password(Settings(admin_password_file=file)) == " correct horse "
    assert "can be read by other users" in capsys.readouterr().err


def test_one_of_the_worst_passwords_is_for_the_loopback_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where others can try it, it is refused; the message does not repeat it. After the first start the
    variable is not used, so no rule refuses the start."""
    here = Settings(admin_password="admin123", data_dir=tmp_path)
    assert first_password(here) == "admin123"
    warning = capsys.readouterr().err
    assert "HELIX_ADMIN_PASSWORD: A password must not be the username" in warning
    assert "helix user password" in warning
    for host in ("0.0.0.0", ""):
        with pytest.raises(BadPassword, match="must not be the username") as refused:
            first_password(replace(here, host=host))
        assert "admin123" not in str(refused.value)
    with pytest.raises(BadPassword, match="12 to 256 characters; this one has 8"):
        first_password(replace(here, password_chars_min=12))
    (tmp_path / "journal.sqlite").touch()
    assert first_password(replace(here, host="0.0.0.0", password_chars_min=12)) == "admin123"
    assert capsys.readouterr().err == ""


def test_a_child_receives_the_password_in_no_environment() -> None:
    """/proc/PID/environ of the child never had it, and the descriptor is gone once it was read."""
    program = (
        "import os; from launcher.up import password; got = password.receive(os.environ);"
        "print(got, got.encode() in open('/proc/self/environ', 'rb').read(), password.receive(os.environ))"
    )
    with password.handed_on("correct horse", os.environ) as (environment, handles):
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, pass_fds=handles, capture_output=True, text=True
        )
    assert done.stdout.strip() == "correct horse False None", done.stderr
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(handles[0])
