"""Verifies facts and consistency against a signed root. Pure and standard library only, so that an auditor
can run this file alone.

    leaf   = SHA-256(0x00 || header || SHA-256(salt || body))
    parent = SHA-256(0x01 || left || right)

`header` is the concatenation of three JSON lists in UTF-8 without spaces: [epoch, at, actor, request id,
address, credential, user agent], [seq, subject] and [kind, version, outcome]. `body` is the JSON list of the
event's other fields, `salt` is 16 random bytes stored with it. Where a body was erased, salt and body are
gone, and SHA-256(salt || body) is stored: the leaf is unchanged, and reveals nothing about the body.

Paths are those of RFC 6962; fact n is leaf n - 1 of a tree of `size` facts.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

_LEAF, _PARENT = b"\x00", b"\x01"


def leaf_of(header: bytes, salted_body: bytes | None, digest: bytes | None = None) -> bytes:
    """Return a fact's leaf from its header, salt and body; where these were erased, from their digest."""
    if salted_body is not None:
        digest = sha256(salted_body).digest()
    if digest is None:
        raise ValueError("a fact must have either salt and body, or their digest")
    return sha256(_LEAF + header + digest).digest()


def verify_inclusion(leaf: bytes, seq: int, size: int, path: Sequence[bytes], root: bytes) -> bool:
    """Say whether fact `seq` with this leaf is in the tree of the first `size` facts with this root."""
    return verify_subtree(leaf, 0, seq - 1, size, path, root)


def verify_subtree(
    node: bytes, level: int, place: int, size: int, path: Sequence[bytes], root: bytes
) -> bool:
    """Say whether a complete subtree is in the tree of the first `size` facts with this root.

    It has the hash `node` and is over facts `place` * 2**level + 1 to (`place` + 1) * 2**level. A segment is
    such a subtree: the path is that of any of its facts without the first `level` hashes.
    """
    if place < 0 or (place + 1) << level > size:
        return False
    last, found = (size - 1) >> level, node
    for sibling in path:
        if last == 0:
            return False
        if place & 1 or place == last:
            found = _parent(sibling, found)
            while not place & 1 and place:
                place >>= 1
                last >>= 1
        else:
            found = _parent(found, sibling)
        place >>= 1
        last >>= 1
    return last == 0 and found == root


def verify_consistency(old: int, new: int, path: Sequence[bytes], old_root: bytes, new_root: bytes) -> bool:
    """Say whether the tree of `new` facts begins with the tree of `old` facts:
    nothing was changed or removed."""
    if not 0 <= old <= new:
        return False
    if old == 0:
        return not path and old_root == sha256(b"").digest()
    if old == new:
        return not path and old_root == new_root
    # A complete old tree is a node of the new one: the proof leaves it out.
    steps = list(path) if old & (old - 1) else [old_root, *path]
    if not steps:
        return False
    place, last = old - 1, new - 1
    while place & 1:
        place >>= 1
        last >>= 1
    was = is_now = steps[0]
    for sibling in steps[1:]:
        if last == 0:
            return False
        if place & 1 or place == last:
            was, is_now = _parent(sibling, was), _parent(sibling, is_now)
            while not place & 1 and place:
                place >>= 1
                last >>= 1
        else:
            is_now = _parent(is_now, sibling)
        place >>= 1
        last >>= 1
    return last == 0 and was == old_root and is_now == new_root


def _parent(left: bytes, right: bytes) -> bytes:
    return sha256(_PARENT + left + right).digest()
