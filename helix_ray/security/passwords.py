"""Passwords: argon2id, equal time for unknown users, and a gate that bounds the CPU time of logins.

Parameters: OWASP Password Storage Cheat Sheet, the argon2id row of 19 MiB, 2 passes, 1 lane (about
20 ms a check). What may become a password: password_rules.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

from helix_ray.core.errors import ErrorCode, Refused, Rejected, invalid
from helix_ray.security.password_rules import PASSWORD_CHARS_MAX, normalised

MEMORY_KIB = 19 * 1024
PASSES = 2
LANES = 1
WORKERS_MAX = 2
QUEUE_MAX = 16
RETRY_AFTER_S = 1

T = TypeVar("T")

_HASHER = PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=LANES, type=Type.ID)


def hash_password(password: str) -> str:
    """Hash a password with a fresh salt; raise Refused for one that is too long or not valid text."""
    secret = normalised(password)
    if secret is None or len(password) > PASSWORD_CHARS_MAX:
        raise Refused(invalid("Invalid password", field="password", chars_max=PASSWORD_CHARS_MAX))
    return _HASHER.hash(secret)


def verify_password(hashed: str | None, password: str) -> bool:
    """Say whether the password matches the hash; None (no such user) takes as long and never matches."""
    secret = normalised(password[: PASSWORD_CHARS_MAX + 1])
    if secret is None or len(password) > PASSWORD_CHARS_MAX:
        hashed, secret = None, b"never right"
    try:
        _HASHER.verify(hashed or _dummy_hash(), secret)
    except (VerificationError, InvalidHashError):
        return False
    return hashed is not None


class PasswordGate:
    """Hashes passwords in a few threads; a bounded number of requests waits, and the
    rest are refused at once."""

    def __init__(self, workers: int = WORKERS_MAX, queue_max: int = QUEUE_MAX) -> None:
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="password")
        self._inside_max = workers + queue_max
        self._inside = 0
        _dummy_hash()

    async def verify(self, hashed: str | None, password: str) -> bool:
        """Run verify_password off the event loop; raise Refused
        (SERVICE_UNAVAILABLE) when the queue is full."""
        return await self._run(lambda: verify_password(hashed, password))

    async def hash(self, password: str) -> str:
        """Run hash_password off the event loop; raise Refused when the queue is full or
        the password cannot be hashed."""
        return await self._run(lambda: hash_password(password))

    def close(self) -> None:
        """Finish running work and accept no more; safe to call twice."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    async def _run(self, work: Callable[[], T]) -> T:
        if self._inside >= self._inside_max:
            busy = {"retry_after_s": RETRY_AFTER_S}
            raise Refused(Rejected(ErrorCode.SERVICE_UNAVAILABLE, "Too many logins at the same time", busy))
        self._inside += 1
        work_in_thread = self._threads.submit(work)
        # A cancelled caller does not free a place: the thread stays busy until its work ends.
        loop = asyncio.get_running_loop()
        work_in_thread.add_done_callback(lambda _: _call_if_open(loop, self._leave))
        return await asyncio.wrap_future(work_in_thread)

    def _leave(self) -> None:
        self._inside -= 1


def _call_if_open(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(call)


@cache
def _dummy_hash() -> str:
    return _HASHER.hash("no user has this password")
