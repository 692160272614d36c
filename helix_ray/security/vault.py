"""Seals the values of commands' environments: journal, snapshots and backups have them sealed only.

It also authenticates texts, by HMAC-SHA256 with a key that is derived from each of its own.

A sealed text is `helix-sealed:KID:BASE64`, of a random nonce and what AES-256-GCM makes of the text. The
keys are in a file beside the journal that no backup contains (ADR 57).
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
from pathlib import Path
from typing import TYPE_CHECKING

from helix_ray.core.sealed import PREFIX
from helix_ray.security.keys import KeyRing, load_or_create_key

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_FILE = "env.secret"
NONCE_BYTES = 12
# Separates the key that authenticates from the one that encrypts.
MAC_PURPOSE = b"helix-ray mac"


class KeyVault:
    """Seals with the current key of a ring, and opens with any.

    The library is loaded with the first value: most clusters never see one, and it takes megabytes.
    """

    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring
        self._ciphers: dict[str, AESGCM] = {}
        self._mac_keys = {
            kid: hmac.digest(secret, MAC_PURPOSE, "sha256") for kid, secret in ring.secrets.items()
        }

    def seal(self, text: str) -> str:
        """Return a sealed text, another one each time."""
        nonce = os.urandom(NONCE_BYTES)
        kid = self._ring.current
        sealed = self._cipher(kid).encrypt(nonce, text.encode("utf-8", "surrogatepass"), None)
        return f"{PREFIX}{kid}:{base64.b64encode(nonce + sealed).decode()}"

    def open(self, sealed: str) -> str:
        """Return the text; one that was not sealed, or not with a key that is here, as it is."""
        kid, _, body = sealed.removeprefix(PREFIX).partition(":")
        if not sealed.startswith(PREFIX) or kid not in self._ring.secrets:
            return sealed
        from cryptography.exceptions import InvalidTag

        try:
            data = base64.b64decode(body, validate=True)
            text = self._cipher(kid).decrypt(data[:NONCE_BYTES], data[NONCE_BYTES:], None)
        except (binascii.Error, InvalidTag, ValueError):
            return sealed
        return text.decode("utf-8", "surrogatepass")

    def mac(self, text: str) -> str:
        """Return the key's id and the HMAC of a text."""
        return self._mac(self._ring.current, text)

    def genuine(self, text: str, mac: str) -> bool:
        """Say whether `mac` made this of the text, with a key that is here."""
        kid = mac.partition(":")[0]
        return kid in self._mac_keys and hmac.compare_digest(self._mac(kid, text).encode(), mac.encode())

    def _mac(self, kid: str, text: str) -> str:
        return f"{kid}:{hmac.digest(self._mac_keys[kid], text.encode(), 'sha256').hex()}"

    def _cipher(self, kid: str) -> AESGCM:
        cipher = self._ciphers.get(kid)
        if cipher is None:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM

            cipher = self._ciphers[kid] = AESGCM(self._ring.secrets[kid])
        return cipher


def load_vault(data_dir: Path) -> KeyVault:
    """Return the vault of a data directory; its key is made at the first start (mode 0600).

    Raises KeyFileUnsafe, with instructions, when others can read the file or it does not contain keys.
    """
    return KeyVault(load_or_create_key(data_dir, KEY_FILE))
