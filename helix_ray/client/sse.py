"""Reads text/event-stream as its bytes come: the parser of the HTML standard of WHATWG, section 9.2.6."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from typing import NamedTuple

_LINE_END = re.compile(r"\r\n|\n|\r")
_DIGITS = re.compile(r"[0-9]+")


class StreamMessage(NamedTuple):
    """One message: its event ("message" where it names none), its data, and the last id by then."""

    event: str
    data: str
    id: str


class Parser:
    """Takes the bytes of one response. `last_id` is what to go on after, once the connection breaks, and
    `retry_ms` what the server last said of the wait before that."""

    def __init__(self, last_id: str = "") -> None:
        self.last_id = last_id
        self.retry_ms: int | None = None
        # A byte order mark at the beginning is not part of the text.
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self._open_line = ""
        self._after_cr = False
        self._id = last_id
        self._event = ""
        self._data: list[str] = []

    def feed(self, piece: bytes) -> Iterator[StreamMessage]:
        """Yield the messages that a piece completes. One that the end of the response leaves incomplete is
        not a message."""
        text = self._decoder.decode(piece)
        if not text:
            return
        if self._after_cr and text[0] == "\n":
            text = text[1:]
            self._after_cr = False
        if text:
            self._after_cr = text[-1] == "\r"
        *lines, self._open_line = _LINE_END.split(self._open_line + text)
        for line in lines:
            if line:
                self._take(line)
            elif (message := self._dispatched()) is not None:
                yield message

    def _take(self, line: str) -> None:
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            self._data.append(value)
        elif field == "event":
            self._event = value
        elif field == "id" and "\0" not in value:
            self._id = value
        elif field == "retry" and _DIGITS.fullmatch(value):
            self.retry_ms = int(value)

    def _dispatched(self) -> StreamMessage | None:
        self.last_id = self._id
        event, data = self._event or "message", self._data
        self._event, self._data = "", []
        return StreamMessage(event, "\n".join(data), self.last_id) if data else None
