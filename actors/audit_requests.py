"""How the process that checks the journal (actors/chain_check.py) asks for pages of the audit: a line with
PAGE and two seqs; the answer is the length of the page, in LENGTH_BYTES, and the page. What it has found is a
line with CHECKED and a JournalCheck, or with COMPARED and an AuditCheck, as a JSON list."""

from __future__ import annotations

from typing import Final

PAGE: Final = b"page "
CHECKED: Final = b"checked "
COMPARED: Final = b"compared "
LENGTH_BYTES: Final = 8
