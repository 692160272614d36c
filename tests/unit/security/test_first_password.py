"""The first administrator's password from a file, and its way to another process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from helix_ray.config import Settings
from helix_ray.security.first_password import first_password
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
