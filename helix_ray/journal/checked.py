"""When all facts of the journal were last checked, and the audit was compared with them, and with which
results: files in the data directory."""

from __future__ import annotations

import json
from pathlib import Path

from helix_ray.core.posture import AuditCheck, JournalCheck
from helix_ray.durable import replace_text, sync

FILE = "journal.checked"
AUDIT_FILE = "audit.compared"


def write_check(data_dir: Path, check: JournalCheck) -> None:
    """Keep the newest check; a reader sees the one before or this one. Raises OSError."""
    replace_text(data_dir / FILE, json.dumps(check._asdict()))
    sync(data_dir)


def read_check(data_dir: Path) -> JournalCheck | None:
    """Return the newest check; None where there is none, or its file is damaged."""
    try:
        found = json.loads((data_dir / FILE).read_text("utf-8"))
        damage = found["damage"]
        return JournalCheck(float(found["at"]), int(found["facts"]), None if damage is None else str(damage))
    except (OSError, ValueError, LookupError, TypeError):
        return None


def write_comparison(data_dir: Path, found: AuditCheck) -> None:
    """Keep the newest comparison, as `write_check` does."""
    replace_text(data_dir / AUDIT_FILE, json.dumps(found._asdict()))
    sync(data_dir)


def read_comparison(data_dir: Path) -> AuditCheck | None:
    """Return the newest comparison; None where there is none, or its file is damaged."""
    try:
        found = json.loads((data_dir / AUDIT_FILE).read_text("utf-8"))
        return AuditCheck(
            float(found["at"]), int(found["facts"]), int(found["records"]), int(found["place"]),
            str(found["difference"]),
        )  # fmt: skip
    except (OSError, ValueError, LookupError, TypeError):
        return None
