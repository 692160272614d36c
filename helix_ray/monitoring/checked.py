"""When all facts of the journal were last checked, and the audit was compared with them, and with which
results: files in the data directory, each one line, `JSON <HMAC-SHA256, hex>`.

They are signed with the journal's key, as HEAD is: one that was changed without the key is not believed.
Figures show them until the first check of a start has ended, and no check is skipped because of them. What
was found to be wrong is a fact of the journal as well (JournalChecked, AuditCompared), which no file takes
back.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from helix_ray.core.posture import AuditCheck, JournalCheck
from helix_ray.durable import replace_text, sync
from helix_ray.security.keys import HEAD_KEY_FILE, KeyFileUnsafe, load_or_create_key

FILE = "journal.checked"
AUDIT_FILE = "audit.compared"


def write_check(data_dir: Path, check: JournalCheck) -> None:
    """Keep the newest check; a reader sees the one before or this one. Raises OSError."""
    _write(data_dir, FILE, check._asdict())


def read_check(data_dir: Path) -> JournalCheck | None:
    """Return the newest check; None where there is none, or its file is damaged or was changed."""
    try:
        found = _read(data_dir, FILE)
        damage = found["damage"]
        return JournalCheck(float(found["at"]), int(found["facts"]), None if damage is None else str(damage))
    except (OSError, ValueError, LookupError, TypeError):
        return None


def write_comparison(data_dir: Path, found: AuditCheck) -> None:
    """Keep the newest comparison, as `write_check` does."""
    _write(data_dir, AUDIT_FILE, found._asdict())


def read_comparison(data_dir: Path) -> AuditCheck | None:
    """Return the newest comparison; None where there is none, or its file is damaged or was changed."""
    try:
        found = _read(data_dir, AUDIT_FILE)
        return AuditCheck(
            float(found["at"]), int(found["facts"]), int(found["records"]), int(found["place"]),
            str(found["difference"]),
        )  # fmt: skip
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _write(data_dir: Path, file: str, result: Mapping[str, Any]) -> None:
    text = json.dumps(result)
    replace_text(data_dir / file, f"{text} {_signature(data_dir, file, text)}\n")
    sync(data_dir)


def _read(data_dir: Path, file: str) -> dict[str, Any]:
    text, _, signature = (data_dir / file).read_text("utf-8").rstrip("\n").rpartition(" ")
    if not hmac.compare_digest(signature.encode(), _signature(data_dir, file, text).encode()):
        raise ValueError("it was not written by this server")
    result: dict[str, Any] = json.loads(text)
    return result


def _signature(data_dir: Path, file: str, text: str) -> str:
    """Sign a result, for its file; raises OSError without the journal's key, which is never made here."""
    if not (data_dir / HEAD_KEY_FILE).is_file():
        raise FileNotFoundError(f"{HEAD_KEY_FILE} is missing")
    try:
        ring = load_or_create_key(data_dir, HEAD_KEY_FILE)
    except KeyFileUnsafe as error:
        raise PermissionError(str(error)) from error
    return hmac.new(ring.secrets[ring.current], f"{file} {text}".encode(), "sha256").hexdigest()
