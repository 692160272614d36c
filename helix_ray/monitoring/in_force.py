"""What is in force on the head's machine: how the API and Ray listen, files, keys.

Settings and the environment say what was asked for, files what is there; nothing is tried from outside.
"""

from __future__ import annotations

import os
import ssl
import stat
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from helix_ray.config import Settings
from helix_ray.core.posture import Exposure, Findings
from helix_ray.loopback import is_loopback
from helix_ray.private import OTHERS
from helix_ray.security import keys, vault

RAY_TOKEN_FILE = "ray.token"
RAY_TOKEN_VARIABLE = "RAY_AUTH_TOKEN_PATH"
# The private keys of a data directory, which never stand in an answer but by name.
CHECKPOINT_KEY_FILE = "checkpoint.key"
KEY_FILES = (keys.KEY_FILE, keys.HEAD_KEY_FILE, vault.KEY_FILE, CHECKPOINT_KEY_FILE)
YES = ("1", "true")
ENTER = stat.S_IXGRP | stat.S_IXOTH


def look(
    findings: Findings, settings: Settings, environment: Mapping[str, str], ray_host: str | None
) -> Findings:
    """Add what is in force here; `ray_host` is the address of Ray's processes of this machine."""
    home = settings.data_dir
    ray_token = Path(environment.get(RAY_TOKEN_VARIABLE) or home / RAY_TOKEN_FILE).expanduser()
    named = [home / name for name in KEY_FILES] + [ray_token]
    private = [home, *named, *([settings.tls_key] if settings.tls_key else [])]
    return replace(
        findings,
        api=api_exposure(settings),
        certificate_expires_at=_expiry(settings.tls_cert),
        certificate_fault=_fault(settings.tls_cert, settings.tls_key),
        ray=_ray_exposure(environment, ray_host),
        ray_token={"token": True, "disabled": False}.get(environment.get("RAY_AUTH_MODE", "")),
        sealed=(home / vault.KEY_FILE).is_file(),
        exposed=_exposed(private),
        keys=_ages(named),
        password_chars_min=settings.password_chars_min,
    )


def api_exposure(settings: Settings) -> Exposure | None:
    """Return how the API's bytes leave this machine; None where another server accepts the connections."""
    if settings.tls_cert is not None:
        return "tls"
    if not settings.host:
        return None
    return "loopback" if is_loopback(settings.host) else "clear"


def _ray_exposure(environment: Mapping[str, str], ray_host: str | None) -> Exposure | None:
    if environment.get("RAY_USE_TLS", "").lower() in YES:
        return "tls"
    if ray_host is None:
        return None
    return "loopback" if is_loopback(ray_host) else "clear"


def _expiry(path: Path | None) -> float | None:
    """Return when the first certificate of a file expires; None for a file without one."""
    if path is None:
        return None
    # Megabytes, for servers with TLS only.
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc.timestamp()
    except (OSError, ValueError):
        return None


def _fault(cert: Path | None, key: Path | None) -> str | None:
    """Return why a certificate and its key cannot be used together; None where they can."""
    if cert is None or key is None:
        return None
    try:
        for path in (cert, key):
            path.open("rb").close()
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, password="")
    except ssl.SSLError as error:
        return (error.reason or str(error)).replace("_", " ").lower()
    except OSError as error:
        return f"{Path(str(error.filename)).name}: {error.strerror}"
    except ValueError:
        return "the key has a password"
    return None


def _exposed(paths: Iterable[Path]) -> list[str] | None:
    """Return the names of those that other users can read or change; None where that cannot be said."""
    found = []
    for path in paths:
        try:
            mode = path.stat().st_mode
        except FileNotFoundError:
            continue
        except OSError:
            return None
        if mode & OTHERS and _lets_others_in(path):
            found.append(f"{path.name} (mode {stat.S_IMODE(mode):04o})")
    return found


def _lets_others_in(path: Path) -> bool:
    """Say whether every folder above a path can be entered by other users."""
    return all(folder.stat().st_mode & ENTER for folder in path.resolve().parents)


def _ages(paths: Iterable[Path]) -> dict[str, float] | None:
    """Return when each key that is there was written."""
    try:
        return {path.name: path.stat().st_mtime for path in paths if os.path.exists(path)}
    except OSError:
        return None
