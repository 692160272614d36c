"""The form of an export: JSON lines, one a fact, with what the fact's leaf is made of. Pure.

The first line says of which journal the facts are, and what comes before them:

    {"helix_export":1,"origin":"helix-ray/..","after":0,"peaks":[]}

`peaks` are the hashes (hex) of the largest complete subtrees over facts 1 to `after`. The others are

    {"seq":1,"leaf":"..","header":"..","digest":".."}

where leaf = SHA-256(0x00 || header || digest), in hex (helix_ray/journal/proofs.py). `header` has who did
what to what, when and with which outcome; the content is represented by its digest. So an export has no
secrets, and an erasure changes none of its lines.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import orjson

from helix_ray.journal.merkle import Frontier
from helix_ray.journal.proofs import leaf_of

FORMAT = 1
BEGINS_WITH = b'{"helix_export":'
HASH_BYTES = 32
LINE_BYTES_MAX = 1 << 20
NO_HEADER = "its first line is not that of an export of facts; other formats cannot be verified by themselves"


class NotAnExport(Exception):
    """The file does not begin as an export does, or has a form that this release does not know."""


class Beginning(NamedTuple):
    """The first line of an export: the journal, and the tree over the facts before it."""

    origin: str
    frontier: Frontier

    def line(self) -> bytes:
        """Return the line, with its end."""
        peaks = [peak.hex() for peak in self.frontier.peaks]
        said = {"helix_export": FORMAT, "origin": self.origin, "after": self.frontier.size, "peaks": peaks}
        return orjson.dumps(said) + b"\n"

    @classmethod
    def of(cls, line: bytes) -> Beginning:
        """Parse the line. Raises NotAnExport."""
        try:
            said = orjson.loads(line)
            version, origin, after = said["helix_export"], said["origin"], said["after"]
            peaks = [bytes.fromhex(peak) for peak in said["peaks"]]
        except (ValueError, TypeError, KeyError) as error:
            raise NotAnExport(NO_HEADER) from error
        if version != FORMAT:
            raise NotAnExport(f"it has format {version}; this release supports format {FORMAT}")
        if type(after) is not int or after < 0 or not isinstance(origin, str):
            raise NotAnExport(NO_HEADER)
        if len(peaks) != after.bit_count() or any(len(peak) != HASH_BYTES for peak in peaks):
            raise NotAnExport(f"its first line does not have the hashes of a tree of {after} facts")
        beginning = cls(origin, Frontier(after, peaks))
        if beginning.line() != line:
            raise NotAnExport("its first line was changed")
        return beginning


def line_of(seq: int, leaf: bytes, header: str, digest: bytes) -> bytes:
    """Return the line of a fact, with its end."""
    return orjson.dumps({"seq": seq, "leaf": leaf.hex(), "header": header, "digest": digest.hex()}) + b"\n"


def lines_of(parts: Iterable[tuple[bytes, bytes]], after: int) -> bytes:
    """Return the lines of facts that follow fact `after`, from their headers and digests."""
    return b"".join(
        line_of(seq, leaf_of(header, None, digest), header.decode(), digest)
        for seq, (header, digest) in enumerate(parts, after + 1)
    )


def leaf_in(line: bytes, seq: int) -> bytes | None:
    """Return the leaf of a line that must be fact `seq`; None where a single bit of it is not as written."""
    try:
        said = orjson.loads(line)
        header = said["header"]
        digest = bytes.fromhex(said["digest"])
        named = header.encode()
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    leaf = leaf_of(named, None, digest)
    # The header names its own seq: a line that was moved and renumbered is found here.
    if len(digest) != HASH_BYTES or line != line_of(seq, leaf, header, digest) or b"][%d," % seq not in named:
        return None
    return leaf
