"""Messages have the form of RFC 5424, whatever a record says."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from helix_ray.audit_export.messages import ForwardedMessage, of_checkpoint, of_gap, of_record
from helix_ray.audit_export.syslog import BOM, MESSAGE_BYTES_MAX, VALUE_BYTES_MAX, framed, syslog
from tests.syslog_receiver import parsed
from tests.unit.audit_export.test_records import log

AT = "2025-11-07T10:00:00.250Z"
TEXT = st.text(st.characters() | st.sampled_from('\n]"\\\u2028\u202e\u2066'), max_size=400)


def expected(text: str) -> bytes:
    """Return what a receiver finds of a text: control characters as `#` and octal digits, and each byte of
    what breaks or turns lines in Unicode."""
    for mark in "\u061c\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069":
        text = text.replace(mark, "".join(f"#{byte:03o}" for byte in mark.encode()))
    text = re.sub(r"[\x00-\x1f\x7f-\x9f]", lambda found: f"#{ord(found[0]):03o}", text)
    return text.encode("utf-8", "replace")


def test_a_record_has_what_a_rule_asks_for() -> None:
    """Sequence, type, user, action, outcome, address and request id; who was refused is a warning."""
    found = parsed(syslog(of_record(log(7)), "helix.example"))
    assert (found.priority, found.at, found.host) == (13 * 8 + 6, AT, "helix.example")
    assert (found.name, found.sd_id) == ("config_change", "helix@32473")
    assert found.params == {
        "seq": "7", "type": "config_change", "user": "user-ada", "action": "set_quota",
        "outcome": "success", "address": "192.0.2.7", "request": "req-7", "credential": "session-1",
        "resource": "project", "resourceId": "p", "count": "1", "agent": "curl/8",
    }  # fmt: skip
    assert found.text == (
        b'user-ada set_quota project p: success {"details":{"weight":2.0},"after":{"weight":2.0}}'
    )
    refused: Any = {**log(8), "result": "denied", "ip_address": None}
    found = parsed(syslog(of_record(refused), ""))
    assert (found.priority, found.host) == (13 * 8 + 4, "-")
    assert "address" not in found.params


def test_gaps_and_checkpoints_are_messages() -> None:
    """A checkpoint can be put together again from its parts, and verified."""
    gap = parsed(syslog(of_gap(3, 9, AT), "h"))
    assert (gap.name, gap.params) == ("gap", {"gapFrom": "3", "gapTo": "9"})
    note = f"helix-ray/{'0' * 32}\n5\n{'A' * 43}=\n\n\u2014 helix-ray/{'0' * 32} {'B' * 92}\n"
    found = parsed(syslog(of_checkpoint(note, AT), "h")).params
    assert f"{found['origin']}\n{found['size']}\n{found['root']}\n\n{found['signature']}\n" == note


@settings(max_examples=60)
@given(TEXT, TEXT, TEXT)
def test_any_text_is_one_message(value: str, said: str, host: str) -> None:
    """It is read by the grammar of the RFC, within the limit, with every value whole or cut at its end;
    a text beyond ASCII begins with a byte order mark."""
    line = syslog(ForwardedMessage("gap", AT, 4, {"agent": value, "user": value}, said, {}), host)
    found = parsed(line)
    wanted = expected(value)
    got = found.params["agent"].encode()
    assert got == wanted or (got.endswith(b"...") and wanted.startswith(got[:-3]))
    assert len(got) <= VALUE_BYTES_MAX
    text = expected(said)
    assert found.text == (text if text.isascii() else BOM + text)
    assert framed(line) == str(len(line)).encode() + b" " + line


@settings(max_examples=20)
@given(st.text(st.sampled_from('\\"]\u00e4\n\u20ac'), min_size=3000, max_size=9000))
def test_what_is_too_long_is_cut(text: str) -> None:
    """The message stays within what receivers must take, and is still read by the grammar."""
    params = {f"p{number}": text for number in range(12)}
    line = syslog(ForwardedMessage("gap", AT, 4, params, text, {}), "h" * 300)
    assert len(line) <= MESSAGE_BYTES_MAX + len(BOM)
    assert parsed(line).text.decode().endswith("...")
