"""Usernames: which are valid, and when two of them are equal.

A valid name has 1 to USERNAME_CHARS_MAX characters: an ASCII letter or digit first, then letters, digits and
`. _ @ + -`. Its spelling is kept and shown. Names are compared without case and in compatibility form (NFKC,
then casefold), so `Admin`, `admin` and a full-width `admin` are equal. The names that the audit gives to the
system itself and to callers without an account are reserved, and so is what looks like an id there: a user
called like the id of another one would be found in their place.

Older journals may have users whose names differ only in case. All of them stay and can log in: a name with
the exact spelling of one of them means that one; any other spelling means the one that was created first.
"""

from __future__ import annotations

import re
import unicodedata

from helix_ray.core.access import ANONYMOUS_ID, SYSTEM, USER_PREFIX
from helix_ray.core.errors import Rejected, invalid
from helix_ray.core.state import State

USERNAME_CHARS_MAX = 128
USERNAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._@+-]*$"

_USERNAME = re.compile(USERNAME_PATTERN[1:-1])
_RESERVED = frozenset({SYSTEM.id, ANONYMOUS_ID})
# How the audit names somebody who tried to sign in with a name that no account has (core/sign_ins.py).
STRANGER_PREFIX = "unknown-"
_RESERVED_PREFIXES = (USER_PREFIX, STRANGER_PREFIX)


def check_username(name: str) -> Rejected | None:
    """Return what is wrong with a username; None when it is valid."""
    key = name_key(name)
    if key in _RESERVED:
        return invalid(f"The username {name} is reserved for records of the audit", field="username")
    if key.startswith(_RESERVED_PREFIXES):
        message = (
            f"Usernames that begin with {' or '.join(_RESERVED_PREFIXES)} are reserved for ids in the audit"
        )
        return invalid(message, field="username")
    if len(name) <= USERNAME_CHARS_MAX and _USERNAME.fullmatch(name) is not None:
        return None
    return invalid(
        "Invalid username: it must start with a letter or digit and contain only letters, digits and . "
        "_ @ + -",
        field="username",
        chars_max=USERNAME_CHARS_MAX,
        pattern=USERNAME_PATTERN,
    )


def name_key(name: str) -> str:
    """Return the normalised form of a name, which is equal for equal names."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def find_user_id(state: State, name: str) -> str | None:
    """Return the id of the user with a name: with the exact spelling, else the first with an equal name."""
    exact = state.users_by_name.get(name)
    if exact is not None:
        return exact
    alike = state.users_by_key.get(name_key(name))
    return alike[0] if alike else None
