"""Frames on the socket between node worker and executors: a little-endian u32 length, then the body.

The body is a pickle (protocol 5) of plain values only; the reader refuses every pickle that names
a class or function, so no frame can execute code. `FrameReader` does no I/O: feed it from a
blocking socket or from asyncio.
"""

from __future__ import annotations

import io
import pickle
import struct
from collections.abc import Callable
from typing import Any, Generic, NoReturn, TypeVar

from helix_ray.execution.assignment import Message, Plain, from_plain, to_plain
from helix_ray.execution.prefixed import cut

M = TypeVar("M")

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
    return encode_plain(to_plain(message), frame_bytes_max)


def encode_plain(plain: Plain, frame_bytes_max: int = FRAME_BYTES_MAX) -> bytes:
    """Return plain values as one frame; raises FrameError above frame_bytes_max."""
    body = pickle.dumps(plain, protocol=5)
    if len(body) > frame_bytes_max:
        raise FrameError(f"a frame has {len(body)} bytes; the limit is {frame_bytes_max}")
    return HEADER.pack(len(body)) + body


class MessageReader(Generic[M]):
    """Cuts a stream of bytes into messages, which `decode` makes of plain values."""

    def __init__(self, decode: Callable[[Any], M], frame_bytes_max: int = FRAME_BYTES_MAX) -> None:
        self._decode = decode
        self._frame_bytes_max = frame_bytes_max
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[M]:
        """Take received bytes and return the messages that are complete.

        Raises FrameError for a frame above frame_bytes_max or one that does not contain a message:
        then drop the connection.
        """
        self._buffer += data
        return list(map(self._message, cut(self._buffer, HEADER, self._check)))

    def _check(self, length: int) -> None:
        if length > self._frame_bytes_max:
            raise FrameError(f"a frame has {length} bytes; the limit is {self._frame_bytes_max}")

    def _message(self, body: bytes) -> M:
        try:
            return self._decode(_PlainUnpickler(io.BytesIO(body)).load())
        except FrameError:
            raise
        except Exception as error:
            raise FrameError(f"a frame does not contain a message: {error}") from error


class FrameReader(MessageReader[Message]):
    """Cuts a stream of bytes into the messages of executors and node workers."""

    def __init__(self, frame_bytes_max: int = FRAME_BYTES_MAX) -> None:
        super().__init__(from_plain, frame_bytes_max)
