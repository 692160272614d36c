"""The first administrator's password, which the operator gives in a variable or a file."""

from __future__ import annotations

import sys

from helix_ray.config import Settings
from helix_ray.core.errors import Rejected
from helix_ray.loopback import is_loopback
from helix_ray.private import JOURNAL_FILE, OTHERS
from helix_ray.security.password_rules import PASSWORD_CHARS_MAX, PASSWORD_CHARS_MIN, check_rules

VARIABLE = "HELIX_ADMIN_PASSWORD"
FILE_VARIABLE = "HELIX_ADMIN_PASSWORD_FILE"
FILE_BYTES_MAX = 4096
USERNAME = "admin"


class BadPassword(Exception):
    """The password is not usable; the message names its source, never the password."""


def first_password(settings: Settings, *, warn: bool = True) -> str | None:
    """Return the password, or None where none was given. Raises BadPassword.

    One of the worst passwords is refused where other machines can try it; on the loopback it is accepted,
    with a warning.
    """
    if settings.admin_password is not None and settings.admin_password_file is not None:
        raise BadPassword(f"{VARIABLE} and {FILE_VARIABLE} are both set: set only one of them")
    if settings.admin_password_file is not None:
        return _checked(_from_file(settings), FILE_VARIABLE, settings, warn)
    if settings.admin_password is not None:
        return _checked(settings.admin_password, VARIABLE, settings, warn)
    return None


def _from_file(settings: Settings) -> str:
    path = settings.admin_password_file
    assert path is not None
    try:
        with path.open("rb") as file:
            body = file.read(FILE_BYTES_MAX + 1)
            mode = path.stat().st_mode
    except OSError as error:
        raise BadPassword(f"{FILE_VARIABLE}: {path} cannot be read: {error.strerror}") from None
    if len(body) > FILE_BYTES_MAX:
        raise BadPassword(f"{FILE_VARIABLE}: {path} is larger than {FILE_BYTES_MAX} bytes")
    if mode & OTHERS:
        # A file that others can read is not refused: container platforms mount secrets that way.
        print(
            f"{FILE_VARIABLE}: {path} can be read by other users; fix it with: chmod go= {path}",
            file=sys.stderr,
        )
    try:
        return body.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise BadPassword(f"{FILE_VARIABLE}: {path} is not UTF-8") from None


def _checked(password: str, source: str, settings: Settings, warn: bool) -> str:
    # Where there is a journal, the administrator exists and the password is not used.
    is_first = not (settings.data_dir.expanduser() / JOURNAL_FILE).exists()
    chars_min = settings.password_chars_min if is_first else PASSWORD_CHARS_MIN
    broken = check_rules(password, username=USERNAME, chars_min=chars_min)
    if broken is None:
        return password
    match broken.details["reason"]:
        case "length":
            raise BadPassword(
                f"{source}: a password must have {chars_min} to {PASSWORD_CHARS_MAX} characters; "
                f"this one has {len(password)}"
            )
        case "characters":
            raise BadPassword(f"{source}: the password is not valid Unicode text")
    if is_first:
        _refuse_worst(broken, source, settings, warn)
    return password


def _refuse_worst(broken: Rejected, source: str, settings: Settings, warn: bool) -> None:
    if not is_loopback(settings.host):
        raise BadPassword(f"{source}: {broken.message}")
    if warn:
        print(
            f"{source}: {broken.message}. It is accepted because only this machine can reach the API; change "
            "it with: helix user password",
            file=sys.stderr,
        )
