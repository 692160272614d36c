"""Passwords: what is hashed, what is refused, and how many at once."""

from __future__ import annotations

import asyncio
import statistics
import threading
import time
from collections.abc import Iterator

import pytest

from helix_ray.core.errors import ErrorCode, Refused
from helix_ray.security import passwords
from helix_ray.security.passwords import (
    PasswordGate,
    hash_password,
    verify_password,
)


@pytest.fixture(scope="module")
def hashed() -> str:
    return hash_password("admin123")


@pytest.fixture
def gate() -> Iterator[PasswordGate]:
    gate = PasswordGate(workers=2, queue_max=3)
    yield gate
    gate.close()


def test_the_hash_is_argon2id_with_the_owasp_parameters(hashed: str) -> None:
    assert hashed.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert hash_password("admin123") != hashed


def test_only_the_password_itself_is_right(hashed: str) -> None:
    assert verify_password(hashed, "admin123")
    for wrong in ("admin124", "", "Admin123", "admin123 ", "admin123" * 32 + "x", "\ud800" * 8):
        assert not verify_password(hashed, wrong)


def test_an_unknown_user_or_a_broken_hash_is_never_right() -> None:
    assert not verify_password(None, "admin123")
    assert not verify_password(None, "no user has this password")
    assert not verify_password("not a hash", "admin123")


def test_one_password_typed_on_two_keyboards_is_one_password() -> None:
    assert verify_password(hash_password("passw\u00f6rd"), "passwo\u0308rd")


@pytest.mark.parametrize("password", ["x" * 257, "\ud800abcdefgh"])
def test_what_cannot_be_a_password_is_not_hashed(password: str) -> None:
    with pytest.raises(Refused):
        hash_password(password)


def test_an_unknown_user_takes_as_long_as_a_wrong_password(hashed: str) -> None:
    """Medians of interleaved rounds within a quarter of each other: no shortcut is taken for either.

    The machine gets ten chances to be quiet.
    """
    verify_password(None, "warm the dummy")

    def took(hashed: str | None) -> float:
        before = time.process_time()
        verify_password(hashed, "wrong password")
        return time.process_time() - before

    for _ in range(10):
        pairs = [(took(hashed), took(None)) for _ in range(15)]
        known_s, unknown_s = (statistics.median(column) for column in zip(*pairs, strict=True))
        if abs(known_s - unknown_s) < 0.25 * max(known_s, unknown_s):
            return
    pytest.fail(f"known {known_s:.4f} s, unknown {unknown_s:.4f} s")


def test_two_at_once_then_a_queue_then_a_refusal(gate: PasswordGate, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of ten logins at once two run, three wait, five are told to come back; all that
    were let in get an answer."""
    open_gate, at_once, most, lock = threading.Event(), 0, 0, threading.Lock()
    entered = threading.Semaphore(0)

    def slow_verify(hashed: str | None, password: str) -> bool:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        entered.release()
        open_gate.wait()
        with lock:
            at_once -= 1
        return password == "right"

    monkeypatch.setattr(passwords, "verify_password", slow_verify)

    async def scene() -> list[bool | BaseException]:
        logins = [asyncio.ensure_future(gate.verify(None, "right")) for _ in range(10)]
        refused, _ = await asyncio.wait(logins, return_when=asyncio.FIRST_EXCEPTION)
        assert len(refused) == 5
        for _ in range(2):
            await asyncio.to_thread(entered.acquire)
        open_gate.set()
        return await asyncio.gather(*logins, return_exceptions=True)

    answers = asyncio.run(scene())
    assert answers[:5] == [True] * 5
    assert most == 2
    for refusal in answers[5:]:
        assert isinstance(refusal, Refused)
        assert refusal.rejected.code is ErrorCode.SERVICE_UNAVAILABLE
        assert refusal.rejected.details["retry_after_s"] == 1


def test_the_gate_is_open_again_afterwards_and_closes_twice(gate: PasswordGate) -> None:
    async def scene() -> None:
        for _ in range(8):
            assert await gate.verify(await gate.hash("correct horse"), "correct horse")
            with pytest.raises(Refused):
                await gate.hash("x" * 257)

    asyncio.run(scene())
    gate.close()
    gate.close()
