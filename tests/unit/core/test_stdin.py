"""The input of a command has one of two forms, and a limit that holds for both, sealed or not."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest

from helix_ray.core.spec_shape import malformed
from helix_ray.core.stdin import STDIN_BYTES_MAX, decoded, stdin_fields
from helix_ray.security.keys import KeyRing
from helix_ray.security.vault import KeyVault

SEAL = KeyVault(KeyRing.fresh()).seal


def encoded(size: int) -> str:
    return base64.b64encode(b"x" * size).decode()


def wrong(**run: Any) -> str | None:
    refusal = malformed({"title": "t", "type": "x", "run": {"kind": "command", "argv": ["true"], **run}})
    return None if refusal is None else str(refusal.details["field"])


@pytest.mark.parametrize(
    "data", [b"", b"a\nb\n", "é\n".encode(), b"\xff\x00", b"\0" * 1000, bytes(range(256))]
)
def test_bytes_go_in_the_shorter_form_and_come_back(data: bytes) -> None:
    """Text stays text where JSON does not make it longer than base64 is."""
    fields = stdin_fields(data)
    assert (fields["stdin"].encode() if "stdin" in fields else decoded(fields["stdin_base64"])) == data
    assert stdin_fields(b"a\n") == {"stdin": "a\n"}
    assert "stdin_base64" in stdin_fields(b"\0" * 1000)


def test_text_is_sent_as_it_is() -> None:
    """Also what no JSON can hold: the server names the field."""
    assert stdin_fields("caf\udce9") == {"stdin": "caf\udce9"}


def test_more_than_the_limit_is_refused_with_what_to_do() -> None:
    """The size, the limit, and where larger input belongs; a wrong type is named."""
    with pytest.raises(ValueError, match=r"524289 bytes; the limit is 524288: let the command open a file"):
        stdin_fields(b"x" * (STDIN_BYTES_MAX + 1))
    assert stdin_fields("é" * (STDIN_BYTES_MAX // 2))
    with pytest.raises(ValueError, match="limit"):
        stdin_fields("é" * (STDIN_BYTES_MAX // 2 + 1))
    with pytest.raises(TypeError, match="not int"):
        stdin_fields(5)  # type: ignore[arg-type]


@pytest.mark.parametrize("form", [str, SEAL], ids=["plain", "sealed"])
def test_the_last_check_knows_the_limit(form: Callable[[str], str]) -> None:
    """An order that no edge has checked is refused too, whether its values are sealed or not."""
    for size in range(STDIN_BYTES_MAX - 2, STDIN_BYTES_MAX + 1):
        assert wrong(stdin=form("x" * size)) is None
        assert wrong(stdin_base64=form(encoded(size))) is None
    assert wrong(stdin=form("x" * (STDIN_BYTES_MAX + 1))) == "run.stdin"
    assert wrong(stdin_base64=form(encoded(STDIN_BYTES_MAX + 3))) == "run.stdin_base64"
    assert wrong(stdin=form(""), stdin_base64=form("")) == "run.stdin_base64"
    assert wrong(stdin=None, stdin_base64=form("")) is None
    assert wrong(stdin=5) == "run.stdin"


def test_no_base64_is_no_input() -> None:
    """Neither other characters nor missing padding are passed over."""
    for text in ("###", "aGk", "aGk=\n"):
        with pytest.raises(ValueError, match="not valid base64"):
            decoded(text)
