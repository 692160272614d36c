"""Names of users: which are allowed, and when two of them are one.

The rule for a name that is given: 1 to USERNAME_CHARS_MAX characters, a letter or digit of ASCII
first, then letters, digits and `. _ @ + -`. The spelling that was given is kept and shown. Names are
compared without case and in compatibility form (NFKC, then casefold), so `Admin`, `admin` and a
full-width `admin` are one name.

Journals from before this rule may hold users whose names differ in case only. All of them stay and
can log in: a name that is spelt exactly like one of them is that one; any other spelling is the
one that was created first.
"""

from __future__ import annotations

import re
import unicodedata

from helix_ray.core.errors import Rejected, invalid
from helix_ray.core.state import State

USERNAME_CHARS_MAX = 128
USERNAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._@+-]*$"

_USERNAME = re.compile(USERNAME_PATTERN[1:-1])


def check_username(name: str) -> Rejected | None:
    """Say what is wrong with a name for a user; None when it may be used."""
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
    """Return what two spellings of one name have in common."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def find_user_id(state: State, name: str) -> str | None:
    """Return the id of the user that a name means: spelt exactly, else the first of those that
    are one name with it."""
    exact = state.users_by_name.get(name)
    if exact is not None:
        return exact
    alike = state.users_by_key.get(name_key(name))
    return alike[0] if alike else None
