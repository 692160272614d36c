"""How long an ended session can still be taken for a live one, on clocks that the test moves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from helix_ray.core.access import SYSTEM, Principal
from helix_ray.core.errors import ErrorCode, Refused, Rejected
from helix_ray.core.orders import CloseSession, OpenSession, RemoveUser
from helix_ray.core.questions import Question
from helix_ray.ports import Batch
from helix_ray.security.tokens import Claims
from helix_ray.testing import ManualClock, MemoryControlPlane, add_user
from serve_app import sessions
from serve_app.sessions import FRESH_S, STALE_S, SessionCache

ENDS = 4_000_000_000.0


class Asked(MemoryControlPlane):
    """Counts questions, and can hold answers back or refuse them."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock=clock)
        self.asked = 0
        self.gate: asyncio.Event | None = None
        self.refusal: Rejected | None = None

    async def query(
        self, question: Question, by: Principal, wait_s: float = 0.0
    ) -> dict[str, Any] | Rejected:
        self.asked += 1
        answer = await super().query(question, by, wait_s)
        if self.gate is not None:
            await self.gate.wait()
        return self.refusal or answer

    async def events(self, after: int, limit: int, wait_s: float = 0.0) -> Batch:
        raise AssertionError("a replica does not follow the facts for its sessions")


class Stage:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.plane = Asked(self.clock)
        user = add_user(self.plane, "dora", "long enough", ["developer"])
        self.plane.give(OpenSession(user.id, "session-1", "hash", ENDS))
        self.cache = SessionCache(self.plane, clock=self.clock.monotonic, epoch=self.clock.wall)
        # What the token says of roles is old: the user's of now count.
        self.claims = Claims(
            user_id=user.id,
            name="dora",
            roles=("admin",),
            session_id="session-1",
            token_id="t",
            issued_at=0,
            expires_at=int(ENDS),
        )

    async def who(self) -> Principal | None:
        try:
            return await self.cache.principal(self.claims)
        except Refused as refused:
            if refused.rejected.code is not ErrorCode.UNAUTHORIZED:
                raise
            return None


def play(scene: Callable[[Stage], Awaitable[None]]) -> None:
    async def all_of_it() -> None:
        stage = Stage()
        await scene(stage)
        await stage.cache.close()
        await stage.cache.close()

    asyncio.run(all_of_it())


async def settled() -> None:
    """Let what was started in the background end."""
    for _ in range(10):
        await asyncio.sleep(0)


def test_a_live_session_is_asked_for_seldom_and_has_the_roles_of_now() -> None:
    async def scene(stage: Stage) -> None:
        for _ in range(100):
            who = await stage.who()
            assert who is not None
            assert (who.name, who.roles, who.session) == ("dora", ("developer",), "session-1")
        assert stage.plane.asked == 1

    play(scene)


@pytest.mark.parametrize("order", [CloseSession("session-1"), RemoveUser("dora")], ids=["logout", "removed"])
@pytest.mark.parametrize("age_s", [0.0, FRESH_S, (FRESH_S + STALE_S) / 2])
def test_an_ended_session_is_refused_when_what_is_known_is_stale(order: Any, age_s: float) -> None:
    async def scene(stage: Stage) -> None:
        assert await stage.who()
        stage.clock.advance(age_s)
        stage.plane.give(order, SYSTEM)
        stage.clock.advance(STALE_S - age_s)
        assert await stage.who() is None

    play(scene)


def test_a_session_in_use_is_asked_for_in_the_background() -> None:
    async def scene(stage: Stage) -> None:
        assert await stage.who()
        stage.plane.give(CloseSession("session-1"))
        stage.clock.advance(FRESH_S)
        assert await stage.who()
        await settled()
        assert await stage.who() is None

    play(scene)


def test_an_answer_counts_from_when_it_was_asked_for() -> None:
    """One that was long under way is stale when it comes."""

    async def scene(stage: Stage) -> None:
        stage.plane.gate = asyncio.Event()
        first = asyncio.create_task(stage.who())
        await settled()
        stage.plane.give(CloseSession("session-1"))
        stage.clock.advance(STALE_S)
        stage.plane.gate.set()
        assert await first is not None
        assert await stage.who() is None

    play(scene)


def test_forgetting_is_not_undone_by_an_answer_from_before() -> None:
    async def scene(stage: Stage) -> None:
        stage.plane.gate = asyncio.Event()
        first = asyncio.create_task(stage.who())
        await settled()
        stage.plane.give(CloseSession("session-1"))
        stage.cache.forget()
        stage.plane.gate.set()
        await first
        assert await stage.who() is None

    play(scene)


def test_many_requests_at_once_ask_once() -> None:
    async def scene(stage: Stage) -> None:
        assert all(await asyncio.gather(*(stage.who() for _ in range(50))))
        assert stage.plane.asked == 1

    play(scene)


def test_a_caller_who_goes_away_does_not_take_the_answer_from_the_others() -> None:
    async def scene(stage: Stage) -> None:
        stage.plane.gate = asyncio.Event()
        first, second = (asyncio.create_task(stage.who()) for _ in range(2))
        await settled()
        first.cancel()
        stage.plane.gate.set()
        assert await second is not None

    play(scene)


def test_a_control_plane_that_is_away_is_no_logout() -> None:
    async def scene(stage: Stage) -> None:
        stage.plane.refusal = Rejected(ErrorCode.SERVICE_UNAVAILABLE, "away")
        with pytest.raises(Refused) as refused:
            await stage.cache.principal(stage.claims)
        assert refused.value.rejected.code is ErrorCode.SERVICE_UNAVAILABLE
        stage.plane.refusal = None
        assert await stage.who()

    play(scene)


def test_a_session_that_has_run_out_is_refused() -> None:
    async def scene(stage: Stage) -> None:
        stage.clock.advance(ENDS)
        assert await stage.who() is None

    play(scene)


def test_what_is_known_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "SESSIONS_KNOWN_MAX", 3)

    async def scene(stage: Stage) -> None:
        for i in range(10):
            claims = Claims(
                user_id=stage.claims.user_id,
                name="dora",
                roles=(),
                session_id=f"none-{i}",
                token_id="t",
                issued_at=0,
                expires_at=int(ENDS),
            )
            with pytest.raises(Refused):
                await stage.cache.principal(claims)
        assert len(stage.cache._known) == 3

    play(scene)
