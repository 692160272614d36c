"""What a webhook may look like: its address, headers, secrets and certificates.

Secrets and values of headers may be sealed already; then only their length is checked. The edge, which has
them as they were sent, says `plain`: a text that only looks sealed must not pass there.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping

from helix_ray.core.errors import Rejected, invalid
from helix_ray.core.sealed import is_sealed, sealed_bytes
from helix_ray.core.webhooks import (
    CA_BYTES_MAX,
    HEADER_NAME_CHARS_MAX,
    HEADERS_BYTES_MAX,
    HEADERS_MAX,
    SECRET_BYTES_MAX,
    SECRET_CHARS_MIN,
    SIGNING_KEY_BYTES_MAX,
    SIGNING_KEY_BYTES_MIN,
    SIGNING_KEY_PREFIX,
    URL_CHARS_MAX,
)

URL_PATTERN = r"^[Hh][Tt][Tt][Pp][Ss]?://[!-~]+$"
HEADER_NAME_PATTERN = r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"
HEADER_VALUE_PATTERN = r"^[ -~]*$"
PEM_BEGINNING = "-----BEGIN CERTIFICATE-----"
# What every request has of its own.
RESERVED_HEADERS = frozenset({
    "accept-encoding", "connection", "content-encoding", "content-length", "content-type", "expect", "host",
    "keep-alive", "proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
    "user-agent",
    "webhook-id", "webhook-timestamp", "webhook-signature", "x-hub-signature-256",
})  # fmt: skip
# Headers that begin so are the control plane's.
RESERVED_PREFIXES = ("helix-", "x-helix-")

_URL = re.compile(URL_PATTERN[1:-1])
_HEADER_NAME = re.compile(HEADER_NAME_PATTERN[1:-1])
_HEADER_VALUE = re.compile(HEADER_VALUE_PATTERN[1:-1])


def refuse_url(url: str) -> Rejected | None:
    """Return why a text is no address of a receiver; which addresses are allowed is checked elsewhere."""
    if len(url) <= URL_CHARS_MAX and _URL.fullmatch(url) is not None:
        return None
    message = "Invalid url: it must begin with https:// or http:// and must not contain spaces"
    return invalid(message, field="url", chars_max=URL_CHARS_MAX, pattern=URL_PATTERN)


def receiver_of(url: str) -> str:
    """Return what a URL has before its path: its scheme, host and port."""
    scheme, _, rest = url.lower().partition("://")
    return f"{scheme}://{re.split('[/?#]', rest, maxsplit=1)[0]}"


def refuse_headers(headers: Mapping[str, str], *, plain: bool = False) -> Rejected | None:
    """Return why headers cannot be sent: too many, too long, reserved, or not ASCII."""
    if len(headers) > HEADERS_MAX:
        return invalid("Too many headers", field="headers", headers_max=HEADERS_MAX)
    if len({name.lower() for name in headers}) < len(headers):
        return invalid("Each header must be given once, whatever its case", field="headers")
    for name, value in headers.items():
        refusal = _refuse_header(name, value, plain)
        if refusal is not None:
            return refusal
    size = sum(len(name) + _bytes_of(value, plain) for name, value in headers.items())
    if size > HEADERS_BYTES_MAX:
        return invalid("The headers are too long", field="headers", header_bytes_max=HEADERS_BYTES_MAX)
    return None


def _refuse_header(name: str, value: str, plain: bool) -> Rejected | None:
    field, lower = f"headers.{name[:HEADER_NAME_CHARS_MAX]}", name.lower()
    if len(name) > HEADER_NAME_CHARS_MAX or _HEADER_NAME.fullmatch(name) is None:
        message = "Invalid name of a header"
        return invalid(message, field="headers", chars_max=HEADER_NAME_CHARS_MAX, pattern=HEADER_NAME_PATTERN)
    if lower in RESERVED_HEADERS or lower.startswith(RESERVED_PREFIXES):
        return invalid("This header is set by the sender", field=field, reserved=sorted(RESERVED_HEADERS))
    if (plain or not is_sealed(value)) and _HEADER_VALUE.fullmatch(value) is None:
        message = "The value of a header must be one line of ASCII"
        return invalid(message, field=field, pattern=HEADER_VALUE_PATTERN)
    return None


def refuse_ca(ca: str | None) -> Rejected | None:
    """Return why a text is not one or more certificates; whether they can be read is checked at the edge."""
    if ca is None or (len(ca) <= CA_BYTES_MAX and ca.isascii() and ca.lstrip().startswith(PEM_BEGINNING)):
        return None
    message = f"ca must be certificates in PEM, which begin with {PEM_BEGINNING}"
    return invalid(message, field="ca", bytes_max=CA_BYTES_MAX)


def refuse_secret(secret: str, *, plain: bool = False) -> Rejected | None:
    """Return why a text is no secret: too short, too long, or a `whsec_...` with too short a key."""
    size, sealed = _bytes_of(secret, plain), not plain and is_sealed(secret)
    if (size if sealed else len(secret)) < SECRET_CHARS_MIN or size > SECRET_BYTES_MAX:
        message = f"A secret must have at least {SECRET_CHARS_MIN} characters"
        return invalid(message, field="secret", chars_min=SECRET_CHARS_MIN, bytes_max=SECRET_BYTES_MAX)
    if sealed or not secret.startswith(SIGNING_KEY_PREFIX) or is_signing_secret(secret):
        return None
    return invalid(
        f"A secret that begins with {SIGNING_KEY_PREFIX} must continue with {SIGNING_KEY_BYTES_MIN} to "
        f"{SIGNING_KEY_BYTES_MAX} bytes in base64",
        field="secret",
        bytes_min=SIGNING_KEY_BYTES_MIN,
        bytes_max=SIGNING_KEY_BYTES_MAX,
    )


def is_signing_secret(secret: str) -> bool:
    """Say whether a text is `whsec_` and 24 to 64 bytes in base64."""
    if not secret.startswith(SIGNING_KEY_PREFIX):
        return False
    try:
        key = base64.b64decode(secret.removeprefix(SIGNING_KEY_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        return False
    return SIGNING_KEY_BYTES_MIN <= len(key) <= SIGNING_KEY_BYTES_MAX


def _bytes_of(text: str, plain: bool) -> int:
    return sealed_bytes(text) if not plain and is_sealed(text) else len(text.encode("utf-8", "surrogatepass"))
