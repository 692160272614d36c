"""helix security: sign-ins, sessions, and what is in force."""

from __future__ import annotations

from typing import TYPE_CHECKING

from helix_ray.cli.connection import connect
from helix_ray.cli.output import Json, print_fields, print_json, print_table, put, when
from helix_ray.cli.tables import Columns

if TYPE_CHECKING:
    from helix_ray.wire.security import SecurityOut

COLUMNS = Columns(("CHECK", "STANDING", "REASON"), cut="REASON", wraps=True)
PERCENT = 100


def security(as_json: Json = False) -> None:
    """Show sign-ins, sessions, and what protects the system, with the reasons."""
    with connect() as client:
        found = client.security()
    print_json(found) if as_json else _print(found)


def _print(found: SecurityOut) -> None:
    attempts = found["auth_attempts"]
    rate = "" if attempts["rate"] is None else f" ({attempts['rate'] * PERCENT:.3g} %)"
    print_fields({
        "level": found["security_level"],
        "encryption": found["encryption_status"],
        "sign-ins": f"{attempts['successful']} successful, {attempts['failed']} failed{rate}",
        "sessions": found["active_sessions"],
        "last check": when(found["last_audit"]),
        "last comparison": when(found["last_comparison"]),
        "last record": when(found["last_record_at"]),
    })  # fmt: skip
    put("")
    print_table(
        COLUMNS, ((each["check"], each["standing"], each["reason"]) for each in found["reasons"])
    )  # fmt: skip
