"""The signatures of a webhook request, each try signed anew.

    `signature` of the body   sha256=HEX   the canonical JSON without it, keyed with the text of `secret`
    X-Hub-Signature-256       sha256=HEX   the raw body, keyed with the text of `secret`
    webhook-signature         v1,BASE64    `id.timestamp.body`, keyed with the bytes of `signing_secret`

While a rotated secret is valid, webhook-signature has one for each; the other two use the newest secret.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol

ID_PREFIX = "msg_"
KEY_PREFIX = "whsec_"
ID_BYTES = 18
KEYS_CACHED_MAX = 1024


def message_id(webhook_id: str, seq: int) -> str:
    """Return the id of a message: the same on every try, and after the outbox was lost."""
    digest = hashlib.sha256(f"{webhook_id}:{seq}".encode()).digest()[:ID_BYTES]
    return ID_PREFIX + base64.urlsafe_b64encode(digest).decode()


def body_signature(signed: bytes, secret: str) -> str:
    """Return `sha256=` and the hex HMAC of bytes with the UTF-8 bytes of a secret."""
    return "sha256=" + _mac(secret, signed).hex()


def standard_signature(key: bytes, message: str, timestamp: int, body: bytes) -> str:
    """Return a signature of Standard Webhooks, version 1."""
    mac = _mac(key, b"%b.%d.%b" % (message.encode(), timestamp, body))
    return "v1," + base64.b64encode(mac).decode()


def _mac(key: bytes | str, text: bytes) -> bytes:
    mac = _keyed(key).copy()
    mac.update(text)
    return mac.digest()


@lru_cache(maxsize=KEYS_CACHED_MAX)
def _keyed(key: bytes | str) -> _Mac:
    """Return an HMAC that has seen its key (a text's UTF-8 bytes), which takes as long as half of a message:
    OpenSSL's own where there is one, since the class around it takes a quarter."""
    secret = key.encode("utf-8", "surrogatepass") if isinstance(key, str) else key
    mac = hmac.new(secret, digestmod="sha256")
    return getattr(mac, "_hmac", None) or mac


class _Mac(Protocol):
    def copy(self) -> _Mac: ...

    def update(self, msg: bytes, /) -> None: ...

    def digest(self) -> bytes: ...


@lru_cache(maxsize=KEYS_CACHED_MAX)
def key_of(signing_secret: str) -> bytes:
    """Return the bytes of a `whsec_...`; raises binascii.Error where it is not valid base64."""
    return base64.b64decode(signing_secret.removeprefix(KEY_PREFIX), validate=True)


def signed_headers(
    body: bytes, message: str, timestamp: int, secret: str, signing_secrets: Sequence[str]
) -> dict[str, str]:
    """Return the headers that identify and sign one try; `timestamp` is the try's, in epoch seconds."""
    return {
        "webhook-id": message,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(
            [standard_signature(key_of(one), message, timestamp, body) for one in signing_secrets]
        ),
        "X-Hub-Signature-256": body_signature(body, secret),
    }
