"""The list of client certificates that count: a file with a SHA-256 fingerprint a line.

It is read again when it changes, so a line that is taken away counts no more from the next request on. While
it cannot be read, no certificate counts.
"""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path

log = logging.getLogger(__name__)

# As `openssl x509 -fingerprint -sha256` writes it, or without colons; what follows is a remark.
_FINGERPRINT = re.compile(r"(?:sha256 fingerprint=)?((?:[0-9a-f]{2}:?){31}[0-9a-f]{2})\b", re.IGNORECASE)


class AllowedCertificates:
    """The fingerprints of a file, as it is now."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # (mtime, size, inode) of what was read, and what it said.
        self._mark: tuple[int, int, int] | None = None
        self._found: frozenset[str] = frozenset()
        self._said = ""

    def now(self) -> frozenset[str]:
        """Return the fingerprints that count."""
        try:
            found = os.stat(self._path)
            mark = found.st_mtime_ns, found.st_size, found.st_ino
            if mark != self._mark:
                self._found, self._mark = fingerprints(self._path), mark
                self._said = ""
        except (OSError, ValueError) as error:
            if str(error) != self._said:
                log.error("the list of client certificates cannot be used, so none counts: %s", error)
            self._said = str(error)
            self._found, self._mark = frozenset(), None
        return self._found


def fingerprints(path: Path) -> frozenset[str]:
    """Return the fingerprints of a list; `#` begins a remark. Raises OSError, and ValueError for a line that
    has none."""
    found = set()
    for number, line in enumerate(path.read_text().splitlines(), 1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        match = _FINGERPRINT.match(text)
        if match is None:
            raise ValueError(f"line {number} of {path.name} does not begin with a SHA-256 fingerprint")
        found.add(match[1].replace(":", "").lower())
    return frozenset(found)
