"""Frames on the socket between node worker and executors: a little-endian u32 length, then the body.

The body is a pickle (protocol 5) of plain values only; the reader refuses every pickle that names
a class or function, so no frame can execute code. `FrameReader` does no I/O: feed it from a
blocking socket or from asyncio.
"""

from __future__ import annotations

import io
import pickle
import struct
from typing import Any, NoReturn

from helix_ray.execution.assignment import Message, from_plain, to_plain

FRAME_BYTES_MAX = 256 * 1024 * 1024
"""Largest body, in bytes, that is written or read."""

HEADER = struct.Struct("<I")


class FrameError(ValueError):
    """A frame is too large, or its body is not a message."""


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> NoReturn:
        raise FrameError(f"a frame can contain plain values only, not {module}.{name}")


def encode(message: Message, frame_bytes_max: int = FRAME_BYTES_MAX) -> bytes:
    """Return the message as one frame; raises FrameError above frame_bytes_max."""
    body = pickle.dumps(to_plain(message), protocol=5)
    if len(body) > frame_bytes_max:
        raise FrameError(f"a frame has {len(body)} bytes; the limit is {frame_bytes_max}")
    return HEADER.pack(len(body)) + body


class FrameReader:
    """Cuts a stream of bytes into messages."""

    def __init__(self, frame_bytes_max: int = FRAME_BYTES_MAX) -> None:
        self._frame_bytes_max = frame_bytes_max
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Message]:
        """Take received bytes and return the messages that are complete.

        Raises FrameError for a frame above frame_bytes_max or one that does not contain a message:
        then drop the connection.
        """
        buffer = self._buffer
        buffer += data
        messages: list[Message] = []
        start = 0
        while len(buffer) - start >= HEADER.size:
            (length,) = HEADER.unpack_from(buffer, start)
            if length > self._frame_bytes_max:
                raise FrameError(f"a frame has {length} bytes; the limit is {self._frame_bytes_max}")
            end = start + HEADER.size + length
            if end > len(buffer):
                break
            messages.append(_decode(buffer[start + HEADER.size : end]))
            start = end
        del buffer[:start]
        return messages


def _decode(body: bytearray) -> Message:
    try:
        plain: Any = _PlainUnpickler(io.BytesIO(body)).load()
        return from_plain(plain)
    except FrameError:
        raise
    except Exception as error:
        raise FrameError(f"a frame does not contain a message: {error}") from error
