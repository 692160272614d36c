"""Signed notes in the form of C2SP (c2sp.org/signed-note): a text, an empty line, and signatures.

    helix-ray/2f6c...                   the text, of whole lines
    48211
    qD3M...=

    — helix-ray/2f6c... 7Tb1...=        name of the key, base64 of its hash (4 bytes) and signature

Signatures are Ed25519. With the verifier line of a key, `NAME+HASH+KEY`, a note can be verified without
any secret, by this module or by other tools for such notes.

A witness's signature is a cosignature (c2sp.org/tlog-cosignature, v1): it says when the witness has seen the
checkpoint, and that it is consistent with those before. Its keys are of another kind: no log signs as one.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

_MARK = "\u2014 "
_ED25519, _COSIGNATURE = b"\x01", b"\x04"
TIME_BYTES = 8
HASH_BYTES, KEY_BYTES = 4, 32
NOTE_BYTES_MAX = 64 << 10


class NoteRefused(Exception):
    """A note or a verifier line is malformed, or no signature fits; the message says which."""


class Verifier(NamedTuple):
    """The public half of a key, and the name that it signs under; `kind` says whether it is a witness's."""

    name: str
    public: bytes
    kind: bytes = _ED25519

    @property
    def is_witness(self) -> bool:
        """Whether its signatures are cosignatures."""
        return self.kind == _COSIGNATURE

    @property
    def key_hash(self) -> bytes:
        """Return the hash by which a signature names the key."""
        return sha256(self.name.encode() + b"\n" + self.kind + self.public).digest()[:HASH_BYTES]

    def line(self) -> str:
        """Return the verifier line."""
        return f"{self.name}+{self.key_hash.hex()}+{base64.b64encode(self.kind + self.public).decode()}"

    @classmethod
    def of(cls, line: str) -> Verifier:
        """Return the verifier of a line. Raises NoteRefused."""
        try:
            name, key_hash, encoded = line.strip().split("+", 2)
            key = base64.b64decode(encoded, validate=True)
        except (ValueError, binascii.Error) as error:
            raise NoteRefused(f"{line.strip()!r} is not a verifier line (NAME+HASH+KEY)") from error
        found = cls(name, key[1:], key[:1])
        if (
            found.kind not in (_ED25519, _COSIGNATURE)
            or len(found.public) != KEY_BYTES
            or found.key_hash.hex() != key_hash
        ):
            raise NoteRefused(f"the verifier line of {name} is not one of an Ed25519 key, or was changed")
        return found


def verifier_of(name: str, seed: bytes) -> Verifier:
    """Return the public half of a key, which is made from 32 secret bytes."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Verifier(name, Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw())


def sign(text: str, name: str, seed: bytes) -> str:
    """Return a text, which must end with a newline, as a signed note."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    if not text.endswith("\n"):
        raise ValueError("the text of a note must end with a newline")
    key = Ed25519PrivateKey.from_private_bytes(seed)
    verifier = Verifier(name, key.public_key().public_bytes_raw())
    signature = base64.b64encode(verifier.key_hash + key.sign(text.encode())).decode()
    return f"{text}\n{_MARK}{name} {signature}\n"


def witness_of(name: str, seed: bytes) -> Verifier:
    """Return the public half of a witness's key, which is made from 32 secret bytes."""
    return verifier_of(name, seed)._replace(kind=_COSIGNATURE)


def cosign(note: str, name: str, seed: bytes, at: int) -> str:
    """Return a note with the cosignature of a witness, who has seen it at a time in epoch seconds."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    text, _, _ = note.rpartition("\n\n")
    said = Ed25519PrivateKey.from_private_bytes(seed).sign(_cosigned(f"{text}\n", at))
    parts = witness_of(name, seed).key_hash + at.to_bytes(TIME_BYTES, "big") + said
    return f"{note}{_MARK}{name} {base64.b64encode(parts).decode()}\n"


def _cosigned(text: str, at: int) -> bytes:
    return f"cosignature/v1\ntime {at}\n{text}".encode()


def text_in(path: Path) -> str:
    """Return the note in a file. Raises OSError, NoteRefused."""
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError:
        raise NoteRefused("this is not a signed note: it is not UTF-8") from None


def read_file(path: Path, verifiers: Iterable[Verifier]) -> tuple[str, Verifier]:
    """Read the note in a file, as `read` does. Raises OSError, and NoteRefused, which names the file."""
    try:
        return read(text_in(path), verifiers)
    except NoteRefused as refused:
        raise NoteRefused(f"{path}: {refused}") from None


def read(note: str, verifiers: Iterable[Verifier]) -> tuple[str, Verifier]:
    """Return the text of a note and the first of these keys that signed it. Raises NoteRefused."""
    if len(note) > NOTE_BYTES_MAX:
        raise NoteRefused(f"a signed note has at most {NOTE_BYTES_MAX} bytes")
    text, _, signatures = note.rpartition("\n\n")
    if not text or not signatures.endswith("\n"):
        raise NoteRefused("this is not a signed note: it has no text, or no signature behind an empty line")
    text += "\n"
    signed = [_signature_of(line) for line in signatures.splitlines()]
    for verifier in verifiers:
        for name, key_hash, signature in signed:
            if (name, key_hash) == (verifier.name, verifier.key_hash):
                if not _fits(verifier, signature, text):
                    raise NoteRefused(
                        f"the note was changed: the signature of {name} does not match its text"
                    )
                return text, verifier
    names = ", ".join(f"{name} ({key_hash.hex()})" for name, key_hash, _ in signed)
    raise NoteRefused(f"the note is signed by {names}, and none of these keys is known here")


def _signature_of(line: str) -> tuple[str, bytes, bytes]:
    name, _, encoded = line.removeprefix(_MARK).partition(" ")
    try:
        found = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        found = b""
    if not line.startswith(_MARK) or len(found) <= HASH_BYTES:
        raise NoteRefused(f"{line!r} is not a signature of a note")
    return name, found[:HASH_BYTES], found[HASH_BYTES:]


def _fits(verifier: Verifier, signature: bytes, text: str) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    signed = text.encode()
    if verifier.is_witness:
        signed = _cosigned(text, int.from_bytes(signature[:TIME_BYTES], "big"))
        signature = signature[TIME_BYTES:]
    try:
        Ed25519PublicKey.from_public_bytes(verifier.public).verify(signature, signed)
    except (InvalidSignature, ValueError):
        return False
    return True
