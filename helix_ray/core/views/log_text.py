"""The text of a log's pieces: characters stay whole, and what was removed is said where it is missing."""

from __future__ import annotations

import codecs

from helix_ray.core.views.tasks import LogView


def text_of(data: bytes, *, more: bool) -> tuple[str, int]:
    """Return the text of a piece and how many of its bytes that is.

    Where `more` follows, a character that is cut at the end is left for the next piece. Bytes that are no
    UTF-8 become U+FFFD.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    text = decoder.decode(data, final=not more)
    return text, len(data) - len(decoder.getstate()[0])


def as_bytes(piece: LogView) -> bytes:
    """Return the bytes of a piece that was asked for with `raw`."""
    return piece["text"].encode("latin-1")


def shown(piece: LogView, offset: int) -> str:
    """Return the text of a piece that was asked for at `offset`, after a line that says how much is missing
    before it."""
    missing = piece["offset"] - offset
    return cut_notice(missing) + piece["text"] if missing > 0 else piece["text"]


def cut_notice(missing_bytes: int) -> str:
    """Return the line that stands for output that was removed."""
    return f"[helix: {missing_bytes} bytes of output were removed here]\n"
