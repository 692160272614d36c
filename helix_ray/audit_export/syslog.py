"""Messages in the form of RFC 5424, framed by their length as RFC 5425 and RFC 6587 (3.4.1) have it. Pure.

    <110>1 2025-11-07T10:00:00.250Z helix.example helix-ray - config_change [helix@32473 seq="7" ...] user-...

The facility is 13 (log audit). 32473 is the enterprise number for examples (RFC 5612): the project has none.
A text that is not ASCII begins with a byte order mark. Control characters are written as `#` and three octal
digits, as rsyslog does, so no value can look like another line in a receiver's file. So is each byte of
Unicode's own line breaks, and of its marks of direction, which have a viewer show a line in another order.
"""

from __future__ import annotations

import re
from typing import Final

from helix_ray.audit_export.messages import ForwardedMessage

FACILITY: Final = 13
APP: Final = "helix-ray"
SD_ID: Final = "helix@32473"
NIL: Final = "-"
BOM: Final = b"\xef\xbb\xbf"
# What receivers should accept (RFC 5425, 4.3.1).
MESSAGE_BYTES_MAX: Final = 8_192
# Escaped it is twice as long at most, so that all values of a message fit.
VALUE_BYTES_MAX: Final = 300
HOST_CHARS_MAX: Final = 255
_CONTROLS: Final = re.compile("[\x00-\x1f\x7f-\x9f]")
_MISLEADING: Final = re.compile("[\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_SPECIAL: Final = re.compile(r'["\\\]]')
_NOT_PRINTED: Final = re.compile(r"[^\x21-\x7e]")
_CUT: Final = "..."


def syslog(message: ForwardedMessage, host: str, bytes_max: int = MESSAGE_BYTES_MAX) -> bytes:
    """Return a message as one of syslog from `host`; what is too long is cut at its end."""
    host = _NOT_PRINTED.sub("", host)[:HOST_CHARS_MAX] or NIL
    params = "".join(f' {name}="{escaped(value)}"' for name, value in message.params.items())
    priority = 8 * FACILITY + message.severity
    head = f"<{priority}>1 {message.at} {host} {APP} {NIL} {message.name} [{SD_ID}{params}] ".encode()
    text = _utf8(message.text)
    return head + _cut(text if text.isascii() else BOM + text, max(0, bytes_max - len(head)))


def framed(line: bytes) -> bytes:
    """Return a message with its length before it."""
    return b"%d %b" % (len(line), line)


def escaped(value: str) -> str:
    """Return a value as it may stand between the quotes of structured data."""
    return _SPECIAL.sub(r"\\\g<0>", _cut(_utf8(value), VALUE_BYTES_MAX).decode())


def _utf8(text: str) -> bytes:
    """Return a text without control characters, and without what UTF-8 does not have."""
    if not text.isascii():
        text = _MISLEADING.sub(lambda found: "".join(f"#{byte:03o}" for byte in found[0].encode()), text)
    return _CONTROLS.sub(lambda found: f"#{ord(found[0]):03o}", text).encode("utf-8", "replace")


def _cut(text: bytes, bytes_max: int) -> bytes:
    """Return at most so many bytes of a text; no character is cut in two."""
    if len(text) <= bytes_max:
        return text
    return text[: max(0, bytes_max - len(_CUT))].decode("utf-8", "ignore").encode() + _CUT.encode()
