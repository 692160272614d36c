"""The security posture: an encryption status and a security level that follow from what is in force.

    encryption_status   active     the API speaks TLS, Ray uses TLS or the loopback, secrets are sealed
                        partial    some of it holds, or is not known
                        inactive   the API sends passwords and tokens over a network in clear
    security_level      enhanced   every check passes
                        standard   no check fails; some warn, or could not be made
                        basic      at least one check fails

Each check says what it found: the reasons.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

EncryptionStatus = Literal["active", "partial", "inactive"]
SecurityLevel = Literal["enhanced", "standard", "basic"]
Standing = Literal["pass", "warn", "fail", "unknown"]
# How bytes leave a process: under TLS, in clear inside this machine only, or in clear over a network.
Exposure = Literal["tls", "loopback", "clear"]
CheckName = Literal[
    "api_encryption", "certificate", "ray_encryption", "ray_authentication", "isolation", "sealing", "files",
    "keys", "api_tokens", "passwords", "journal", "audit",
]  # fmt: skip

DAY_S: Final = 86_400.0
CERTIFICATE_DAYS_MIN: Final = 14
KEY_DAYS_MAX: Final = 365
# NIST SP 800-63B-4, 3.1.1.2: where the password is the only factor.
ALONE_CHARS_MIN: Final = 15
CHECK_DAYS_MAX: Final = 7
FILES_NAMED_MAX: Final = 5
REMEDY: Final = (
    "stop the server, move history.duckdb away as evidence, and start: it is rebuilt from the journal"
)


class JournalCheck(NamedTuple):
    """A completed check of all facts: when, of how many, and what does not fit."""

    at: float
    facts: int
    damage: str | None = None


class AuditCheck(NamedTuple):
    """A completed comparison of the audit with the journal: when, of how many facts and records, and the seq
    of the first record that differs, with what does."""

    at: float
    facts: int
    records: int
    place: int = 0
    difference: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What is in force; None: not known. Times in epoch seconds.

    `certificate_fault` says why the files of the certificate could not be used at the next start,
    `journal_damage` says what the journal has of a check that found damage ("": none), `audit_difference`
    how the audit was found to differ from the journal ("": not),
    `isolation` counts live nodes by their level, `exposed` names files and folders that other users can
    read, `keys` says of each key when it was made.
    """

    api: Exposure | None = None
    certificate_expires_at: float | None = None
    certificate_fault: str | None = None
    ray: Exposure | None = None
    ray_token: bool | None = None
    isolation: Mapping[str, int]
    sealed: bool | None = None
    exposed: Sequence[str] | None = None
    keys: Mapping[str, float] | None = None
    oldest_token_at: float | None = None
    password_chars_min: int | None = None
    journal: JournalCheck | None = None
    audit: AuditCheck | None = None
    journal_damage: str = ""
    audit_difference: str = ""


class Reason(NamedTuple):
    """What one check found."""

    check: CheckName
    standing: Standing
    reason: str


class Posture(NamedTuple):
    """The posture, and the reasons of all checks."""

    encryption: EncryptionStatus
    level: SecurityLevel
    reasons: tuple[Reason, ...]


def assess(found: Findings, now: float) -> Posture:
    """Return the posture that follows from findings; `now` in epoch seconds."""
    reasons = tuple(
        Reason(name, *said) for name, check in _CHECKS.items() if (said := check(found, now)) is not None
    )
    return Posture(_encryption(found), _level([reason.standing for reason in reasons]), reasons)


def _encryption(found: Findings) -> EncryptionStatus:
    if found.api == "clear":
        return "inactive"
    whole = found.api == "tls" and found.ray in ("tls", "loopback") and found.sealed
    return "active" if whole else "partial"


def _level(standings: Sequence[Standing]) -> SecurityLevel:
    if "fail" in standings:
        return "basic"
    return "enhanced" if set(standings) <= {"pass"} else "standard"


# ------------------------------------------------------------------------------------------ checks

_Said = tuple[Standing, str] | None


def _api(found: Findings, now: float) -> _Said:
    if found.api is None:
        return "unknown", "another server accepts the connections: whether it speaks TLS is not known here"
    if found.api == "tls":
        return "pass", "the API speaks TLS 1.2 or later"
    if found.api == "loopback":
        return "warn", "the API speaks plain HTTP, to this machine only"
    return "fail", "the API sends passwords and tokens over a network in clear: use --tls-cert and --tls-key"


def _certificate(found: Findings, now: float) -> _Said:
    if found.api != "tls":
        return None
    if found.certificate_fault is not None:
        kept = "what was in use stays in use, but the next start would fail"
        return "fail", f"the files of the certificate cannot be used ({found.certificate_fault}): {kept}"
    if found.certificate_expires_at is None:
        return "unknown", "the file of the certificate cannot be read"
    days = (found.certificate_expires_at - now) / DAY_S
    if days <= 0:
        return "fail", "the certificate in the files has expired: one that was in use before stays in use"
    if days < CERTIFICATE_DAYS_MIN:
        return "warn", f"the certificate expires in {_days(days)}"
    return "pass", f"the certificate is valid for another {_days(days)}"


def _ray(found: Findings, now: float) -> _Said:
    if found.ray is None:
        return "unknown", "where Ray listens is not known"
    if found.ray == "loopback":
        return "pass", "Ray's ports are on 127.0.0.1"
    if found.ray == "tls":
        return "pass", "Ray's processes speak TLS (RAY_USE_TLS)"
    return "warn", "Ray's nodes talk over the network in clear: keep its ports private, or set RAY_USE_TLS"


def _ray_token(found: Findings, now: float) -> _Said:
    if found.ray_token is None:
        return "unknown", "whether Ray requires a token is not known"
    if found.ray_token:
        return "pass", "Ray requires its token"
    return "fail", "Ray requires no token: whoever reaches its ports can run code (RAY_AUTH_MODE=token)"


def _isolation(found: Findings, now: float) -> _Said:
    if not found.isolation:
        return "unknown", "no node is connected"
    levels = ", ".join(f"{level} on {count}" for level, count in sorted(found.isolation.items()))
    said = f"commands are isolated by nodes: {levels}"
    if "none" in found.isolation:
        return "fail", said
    if any(level == "" for level in found.isolation):
        return "unknown", "some nodes do not say how they isolate commands"
    return ("pass" if all(level.startswith("namespaces") for level in found.isolation) else "warn"), said


def _sealing(found: Findings, now: float) -> _Said:
    if found.sealed is None:
        return "unknown", "whether there is a key that seals secrets is not known"
    if found.sealed:
        return "pass", "secrets are sealed; all else needs an encrypted disk"
    return "warn", "no key seals secrets yet"


def _files(found: Findings, now: float) -> _Said:
    if found.exposed is None:
        return "unknown", "the modes of files could not be read"
    if not found.exposed:
        return "pass", "only their user can read the data directory and keys"
    named = ", ".join(found.exposed[:FILES_NAMED_MAX])
    more = len(found.exposed) - FILES_NAMED_MAX
    return "fail", f"other users can read {named}{f' and {more} more' if more > 0 else ''}"


def _keys(found: Findings, now: float) -> _Said:
    if found.keys is None:
        return "unknown", "the age of keys is not known"
    old = sorted(name for name, at in found.keys.items() if now - at > KEY_DAYS_MAX * DAY_S)
    if old:
        return "warn", f"older than {KEY_DAYS_MAX} days: {', '.join(old)}"
    return "pass", f"no key is older than {KEY_DAYS_MAX} days"


def _api_tokens(found: Findings, now: float) -> _Said:
    if found.oldest_token_at is None:
        return "pass", "there are no API tokens"
    days = (now - found.oldest_token_at) / DAY_S
    return ("warn" if days > KEY_DAYS_MAX else "pass"), f"the oldest API token is {_days(days)} old"


def _passwords(found: Findings, now: float) -> _Said:
    if found.password_chars_min is None:
        return "unknown", "how long passwords must be is not known"
    said = f"a password is the only factor and has {found.password_chars_min} characters or more"
    if found.password_chars_min >= ALONE_CHARS_MIN:
        return "pass", said
    return "warn", f"{said}: set HELIX_PASSWORD_CHARS_MIN to {ALONE_CHARS_MIN}"


def _journal(found: Findings, now: float) -> _Said:
    check = found.journal
    damage = (check and check.damage) or found.journal_damage
    if damage:
        return "fail", f"the check of the journal failed: {damage}"
    if check is None:
        return "unknown", "the journal has not been checked yet"
    days = (now - check.at) / DAY_S
    said = f"{check.facts} facts were checked {_days(days)} ago"
    return ("warn" if days > CHECK_DAYS_MAX else "pass"), said


def _audit(found: Findings, now: float) -> _Said:
    check = found.audit
    if found.audit_difference:
        return "fail", f"{found.audit_difference}; {REMEDY}"
    if check is None:
        return "unknown", "the audit has not been compared with the journal yet"
    days = (now - check.at) / DAY_S
    said = f"{check.records} records of the audit were compared with the journal {_days(days)} ago"
    return ("warn" if days > CHECK_DAYS_MAX else "pass"), said


def _days(days: float) -> str:
    whole = max(0, int(days))
    return "1 day" if whole == 1 else "less than a day" if whole == 0 else f"{whole} days"


_CHECKS: Final[Mapping[CheckName, Callable[[Findings, float], _Said]]] = {
    "api_encryption": _api,
    "certificate": _certificate,
    "ray_encryption": _ray,
    "ray_authentication": _ray_token,
    "isolation": _isolation,
    "sealing": _sealing,
    "files": _files,
    "keys": _keys,
    "api_tokens": _api_tokens,
    "passwords": _passwords,
    "journal": _journal,
    "audit": _audit,
}
