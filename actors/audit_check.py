"""Compares the audit with the journal in the process that checks the journal (actors/chain_check.py), which
gets the records from the process that has the history."""

from __future__ import annotations

import json
import sqlite3
import sys
import time
from collections.abc import Callable
from pathlib import Path

from actors.audit_requests import COMPARED, LENGTH_BYTES, PAGE
from helix_ray.audit_compare import CannotCompare, Pages, compare, wording
from helix_ray.core.posture import AuditCheck
from helix_ray.journal.errors import JournalError
from helix_ray.monitoring.checked import read_check, write_comparison
from helix_ray.views.audit_page import AuditPage, page_of


def compare_audit(data_dir: Path, pages: Pages, pause: Callable[[], None] = lambda: None) -> str | None:
    """Compare the audit with the journal now, keep and print the result; return why it could not be
    compared.

    A journal that fails its own check is compared with nothing.
    """
    chain = read_check(data_dir)
    if chain is None or chain.damage is not None:
        return None
    try:
        found = compare(data_dir, pages, lambda facts: pause())
        difference = found.difference
        place, what = (0, "") if difference is None else (difference.seq, wording(difference))
        check = AuditCheck(time.time(), found.facts, found.records, place, what)
        print(f"{COMPARED.decode()}{json.dumps(check)}", flush=True)
        write_comparison(data_dir, check)
    except (CannotCompare, JournalError, OSError, sqlite3.Error) as error:
        return f"the audit could not be compared: {error}"
    return None


def asked(after: int, through: int) -> AuditPage:
    """Return a page from the process that started this one."""
    print(f"{PAGE.decode()}{after} {through}", flush=True)
    length = int.from_bytes(sys.stdin.buffer.read(LENGTH_BYTES))
    page = sys.stdin.buffer.read(length)
    if not length or len(page) < length:
        raise SystemExit("the server has ended")
    return page_of(page)
