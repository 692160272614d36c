"""Reads a multipart/form-data body part by part, as it arrives: a file is never held in memory.

form = MultipartForm(request)
while (part := await form.next_part()) is not None:
    async for data in form.data(): ...
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from typing import NamedTuple

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from helix_ray.core.errors import ErrorCode, Refused, Rejected, invalid

KIND = "multipart/form-data"
BOUNDARY_BYTES_MAX = 256
PARTS_MAX = 32


class FormPart(NamedTuple):
    """A part of a form: the name of its field."""

    name: str


class _End:
    """The end of a part."""


class MultipartForm:
    """The form in the body of a request; raises Refused (VALIDATION_ERROR) where that is not one."""

    def __init__(self, request: Request) -> None:
        self._stream = request.stream()
        self._found: deque[FormPart | bytes | _End] = deque()
        self._headers: dict[bytes, bytes] = {}
        self._header: tuple[bytes, bytes] = (b"", b"")
        self._in_part = self._whole = False
        self._parts = 0
        self._parser = MultipartParser(
            _boundary(request),
            {
                "on_part_begin": self._on_part_begin,
                "on_header_field": self._on_header_field,
                "on_header_value": self._on_header_value,
                "on_header_end": self._on_header_end,
                "on_headers_finished": self._on_headers_finished,
                "on_part_data": self._on_part_data,
                "on_part_end": self._on_part_end,
                "on_end": self._on_end,
            },
        )

    async def next_part(self) -> FormPart | None:
        """Skip what is left of a part, and return the next one; None at the end of the form."""
        async for _ in self.data():
            pass
        found = await self._next()
        if found is None:
            return None
        if not isinstance(found, FormPart):
            raise Refused(_malformed())
        self._in_part = True
        return found

    async def data(self) -> AsyncIterator[bytes]:
        """Yield the bytes of the part that was returned last."""
        while self._in_part:
            found = await self._next()
            if isinstance(found, bytes):
                yield found
            else:
                self._in_part = False
                if found is None:
                    raise Refused(_malformed())

    async def text(self, name: str, bytes_max: int) -> str:
        """Return the part as text; raise Refused where it is too long or not UTF-8."""
        raw = bytearray()
        async for data in self.data():
            raw += data
            if len(raw) > bytes_max:
                raise Refused(too_large(name, bytes_max))
        try:
            return raw.decode()
        except UnicodeDecodeError:
            raise Refused(invalid(f"Invalid {name}: not valid UTF-8", field=name)) from None

    async def drain(self) -> None:
        """Read and drop the rest: a client that still sends would not see the response."""
        async for _ in self._stream:
            pass

    async def _next(self) -> FormPart | bytes | _End | None:
        while not self._found:
            try:
                chunk = await anext(self._stream, b"")
                if chunk:
                    self._parser.write(chunk)
                    continue
            except FormParserError:
                raise Refused(_malformed()) from None
            if not self._whole:
                raise Refused(_malformed())
            return None
        return self._found.popleft()

    # ------------------------------------------------------------------- what the parser calls

    def _on_part_begin(self) -> None:
        self._headers = {}
        self._parts += 1
        if self._parts > PARTS_MAX:
            raise Refused(invalid("Too many parts in the form", field="body", parts_max=PARTS_MAX))

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header = (self._header[0] + data[start:end], self._header[1])

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header = (self._header[0], self._header[1] + data[start:end])

    def _on_header_end(self) -> None:
        self._headers[self._header[0].lower()] = self._header[1]
        self._header = (b"", b"")

    def _on_headers_finished(self) -> None:
        kind, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        name = options.get(b"name", b"").decode("utf-8", "replace")
        if kind != b"form-data" or not name:
            raise Refused(invalid("Every part of the form must have a name", field="body"))
        self._found.append(FormPart(name))

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        self._found.append(data[start:end])

    def _on_part_end(self) -> None:
        self._found.append(_End())

    def _on_end(self) -> None:
        self._whole = True


def too_large(name: str, bytes_max: int) -> Rejected:
    """Return the refusal of a part over its limit."""
    message = f"The {name} is too large"
    return Rejected(ErrorCode.PAYLOAD_TOO_LARGE, message, {"field": name, "bytes_max": bytes_max})


def _boundary(request: Request) -> bytes:
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    boundary = options.get(b"boundary", b"")
    if kind != KIND.encode() or not 0 < len(boundary) <= BOUNDARY_BYTES_MAX:
        details = {"allowed_values": [KIND], "boundary_bytes_max": BOUNDARY_BYTES_MAX}
        raise Refused(invalid("Invalid content type", field="Content-Type", **details))
    return boundary


def _malformed() -> Rejected:
    return invalid("Malformed multipart body", field="body")
