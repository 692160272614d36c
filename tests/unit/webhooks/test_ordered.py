"""Webhooks of a real engine, by its own orders: pings, redeliveries, erasures, owners and switching off."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from helix_ray.core import events as ev
from helix_ray.core.access import SYSTEM
from helix_ray.core.deliveries import ListDeliveries
from helix_ray.core.erasure_record import Erasure
from helix_ray.core.events import Fact
from helix_ray.core.orders import (
    ChangeRoles,
    CreateWebhook,
    Redeliver,
    ResumeWebhook,
    TestWebhook,
)
from helix_ray.core.questions import GetWebhook
from helix_ray.core.webhooks import FilterRecord
from helix_ray.journal.memory import MemoryJournal
from helix_ray.outward.outcome import PostOutcome
from helix_ray.testing import add_user
from helix_ray.webhooks.desk import FAILING, PlaneDesk
from helix_ray.webhooks.schedule import OFF_AFTER_S
from tests.unit.webhooks.world import KEY, World

SITE = "https://example.com/"
WANTED: FilterRecord = {"events": ["task.created"], "projects": [], "types": [], "labels": {}, "statuses": []}


class Ordered(World):
    """A world whose webhooks are those of the engine."""

    def ordered(self, url: str, mode: object = 200) -> str:
        """Create a webhook by an order; return its id."""
        self.modes[url] = mode
        order = CreateWebhook(url=SITE + url, filter=WANTED, secret="a secret of it", signing_secret=KEY)
        return str(self.plane.give(order, self.owner).data["id"])

    async def post(self, url: str, *request: Any, **more: Any) -> PostOutcome:
        """Deliver to the receiver that a URL stands for."""
        return await super().post(url.removeprefix(SITE), *request, **more)

    def desk(self) -> PlaneDesk:
        """Return the notifier's own desk, at the engine."""
        return PlaneDesk(self.plane)

    def arrived(self, url: str) -> list[str]:
        """Return the ids of the messages that arrived, in their order."""
        return [str(got.headers["webhook-id"]) for got in self.got[url]]

    def erase(self, seq: int) -> None:
        """Erase the body of a fact, as an erasure does."""
        engine = self.plane.engine
        asked = Erasure(
            id="erase-1", tasks=[], users=[], reason="asked", seq=seq, by="owner", request_id="req",
            requested_at=1.0,
        )  # fmt: skip
        engine.save_snapshot()
        journal = engine.journal
        assert isinstance(journal, MemoryJournal)
        engine.erase(asked, ev.FactsErased([seq], "asked", asked.id), journal.erase)

    def facts(self) -> tuple[Fact, ...]:
        """Return all facts."""
        return self.plane.engine.facts(0, 10_000).facts


def told(tmp_path: Path, story: Callable[[Ordered], Awaitable[None]]) -> None:
    world = Ordered(tmp_path)

    async def run() -> None:
        try:
            await story(world)
        finally:
            await world.kill()

    asyncio.run(run())


def test_a_ping_arrives_whatever_else_is_wanted(tmp_path: Path) -> None:
    """At the webhook that it is for, signed and numbered as any message, and at no other."""

    async def story(world: Ordered) -> None:
        pinged = world.ordered("pinged")
        world.ordered("other")
        await world.start()
        world.plane.give(TestWebhook(pinged), world.owner)
        world.submit()
        await world.until(lambda: len(world.got["pinged"]) == 2 and len(world.got["other"]) == 1)
        ping = world.got["pinged"][0]
        assert (ping["event"], ping["data"]["webhook_id"]) == ("webhook.ping", pinged)
        assert (ping.headers["helix-number"], ping.headers["helix-event"]) == ("1", "webhook.ping")
        assert world.got["other"][0]["event"] == "task.created"

    told(tmp_path, story)


def test_redeliveries_arrive_with_the_ids_that_they_had(tmp_path: Path) -> None:
    """One message, a range of them, and all since a seq; what the webhook does not want stays away."""

    async def story(world: Ordered) -> None:
        webhook = world.ordered("again")
        await world.start()
        world.submit(5)
        await world.until(lambda: len(world.got["again"]) == 5)
        first = world.arrived("again")
        seqs = [fact.seq for fact in world.facts() if isinstance(fact.event, ev.TaskSubmitted)]
        for after, through, expected in (
            (seqs[2] - 1, seqs[2], first[2:3]),
            (seqs[1] - 1, seqs[3], first[1:4]),
            (seqs[0], None, first[1:]),
        ):
            await world.until(lambda: world.notifying.outbox.counts(webhook)["delivered"] == 5)
            before = len(world.got["again"])
            world.plane.give(Redeliver(webhook, after, through), world.owner)
            wanted = before + len(expected)
            await world.until(lambda wanted=wanted: len(world.got["again"]) == wanted)
            assert sorted(world.arrived("again")[before:]) == sorted(expected)

    told(tmp_path, story)


def test_what_was_erased_is_not_sent_at_a_further_try(tmp_path: Path) -> None:
    """A message waits for its next try when the body of its fact is erased: it is dropped, and no
    copy that is still in memory is sent."""

    async def story(world: Ordered) -> None:
        world.ordered("late", 500)
        await world.start()
        (task_id,) = world.submit()
        await world.until(lambda: len(world.got["late"]) == 1)
        await world.until(lambda: world.notifying.outbox.waiting == 1)
        (seq,) = (fact.seq for fact in world.facts() if isinstance(fact.event, ev.TaskSubmitted))
        world.erase(seq)
        world.modes["late"] = 200
        world.cancel(task_id)
        await world.until(lambda: world.notifying.cursor == world.plane.engine.state.seq)
        world.wait(10.0)
        await world.until(lambda: world.notifying.outbox.waiting == 0)
        assert len(world.got["late"]) == 1
        assert +world.notifying.courier.tally.drops == {"erased": 1}

    told(tmp_path, story)


def test_nothing_is_sent_for_an_owner_who_may_have_no_webhooks(tmp_path: Path) -> None:
    """Within a second, also for what waits for a further try; it goes on with what was held when the owner
    may have webhooks again."""

    async def story(world: Ordered) -> None:
        add_user(world.plane, "second", "a password", ["admin"])
        question = ListDeliveries(world.ordered("owned", 500))
        await world.start()
        world.submit()
        await world.until(lambda: world.notifying.outbox.waiting == 1)
        world.modes["owned"] = 200
        world.plane.give(ChangeRoles("owner", ("viewer",)), SYSTEM)
        world.submit(by=SYSTEM)
        async with asyncio.timeout(1.0):
            await world.until(lambda: world.notifying.cursor == world.plane.engine.state.seq)
        world.wait(10.0)
        await world.looked()
        assert len(world.got["owned"]) == 1
        page: Any = await world.notifying.answer(question)
        assert page["standing"]["held"] is None
        world.plane.give(ChangeRoles("owner", ("admin",)), SYSTEM)
        await world.until(lambda: len(world.got["owned"]) == 3)
        page = await world.notifying.answer(question)
        assert page["standing"]["held"] == 0

    told(tmp_path, story)


def test_the_engine_switches_off_what_has_failed_for_five_days(tmp_path: Path) -> None:
    """At the promised instant and not before; the webhook says why, and the next message is held until it is
    resumed."""

    async def story(world: Ordered) -> None:
        webhook = world.ordered("dead", 500)
        await world.start()
        world.submit()
        await world.until(lambda: world.notifying.outbox.waiting == 1)
        since = world.notifying.outbox.places[webhook].standing.failing_since
        assert since is not None
        world.wait(since + OFF_AFTER_S - world.now() - 5.0)
        await world.until(lambda: len(world.got["dead"]) == 2 and world.notifying.outbox.waiting == 1)
        await world.notifying.care()
        assert (await world.query(GetWebhook(webhook), SYSTEM))["status"] == "active"
        world.passed += 5.0
        await world.notifying.care()
        view = await world.query(GetWebhook(webhook), SYSTEM)
        assert (view["status"], view["reason"]) == ("off", FAILING)
        world.submit()
        await world.until(lambda: world.notifying.outbox.places[webhook].held == 1)
        world.modes["dead"] = 200
        before = len(world.got["dead"])
        world.plane.give(ResumeWebhook(webhook, "replay"), world.owner)
        world.wait(400.0)
        await world.until(lambda: len(world.got["dead"]) == before + 2)

    told(tmp_path, story)
