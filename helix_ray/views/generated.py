"""Which ids the product has generated: most of the text of the audit's records, hardly ever looked for.

A generated id is a kind, a hyphen and 20 characters (wire/ids.py); tasks of a batch are numbered. Columns
with few different values are searched a hundred times as fast as those in which every value is another one,
so a text is looked for in generated ids only where it can be a part of one.
"""

from __future__ import annotations

import re

# Ids of other kinds are merely found more slowly, each like a word.
KINDS = ("erasure", "req", "session", "task", "token", "user")

_CHARACTERS = "[0-9a-hjkmnp-tv-z]"
_GENERATED = re.compile(rf"(?:{'|'.join(KINDS)})-{_CHARACTERS}{{20}}(?:-[0-9]+)?")
_ENDS = "|".join(sorted({kind[start:] for kind in KINDS for start in range(len(kind) + 1)}))
_PART = re.compile(rf"(?:(?:{_ENDS})-{_CHARACTERS}*|{_CHARACTERS}+)(?:-[0-9]*)?")


def is_generated(value: str) -> bool:
    """Say whether an id may be a generated one; an empty text is as if it were."""
    return not value or _GENERATED.fullmatch(value) is not None


def can_be_part(text: str) -> bool:
    """Say whether a text, in any case of letters, can be a part of a generated id."""
    text = text.lower()
    return any(text in kind for kind in KINDS) or _PART.fullmatch(text) is not None
