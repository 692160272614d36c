"""Webhooks over a real engine and a real outbox, with receivers that do anything."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from helix_ray.core.deliveries import GetDelivery, ListDeliveries
from helix_ray.core.notices import Filter
from helix_ray.core.orders import ChangeRoles
from helix_ray.core.secrets import MASK
from helix_ray.outward.outcome import RESPONSE_BYTES_KEPT
from helix_ray.testing import add_user
from helix_ray.webhooks.desk import FAILING
from helix_ray.webhooks.notifying import OutboxBounds
from helix_ray.webhooks.request import masked
from helix_ray.webhooks.schedule import OFF_AFTER_S
from tests.unit.webhooks.world import World

Story = Callable[[World], Awaitable[None]]


def told(tmp_path: Path, story: Story, bounds: OutboxBounds | None = None) -> World:
    world = World(tmp_path, bounds)

    async def run() -> None:
        try:
            await story(world)
        finally:
            await world.kill()

    asyncio.run(run())
    return world


def numbers(world: World, name: str) -> list[int]:
    return [int(got.headers["helix-number"]) for got in world.got[name]]


def test_events_arrive_in_order_with_dense_numbers(tmp_path: Path) -> None:
    """A receiver gets every event that it wants, once, with the numbers from 1 on."""

    async def story(world: World) -> None:
        world.hook("all")
        world.hook("none", filter=Filter(("task.failed",)))
        await world.start()
        world.submit(150)
        world.submit(150)
        await world.until(lambda: len(world.got["all"]) == 300)

    world = told(tmp_path, story)
    assert sorted(numbers(world, "all")) == list(range(1, 301))
    assert len({got.headers["webhook-id"] for got in world.got["all"]}) == 300
    assert not world.got["none"]
    assert world.most["all"] <= 4


def test_hanging_receivers_delay_nobody(tmp_path: Path) -> None:
    """Of 1,000 receivers 900 hang: the others get all their events long before one of those times out."""

    async def story(world: World) -> None:
        for number in range(1000):
            world.hook(f"hook-{number}", "hang" if number % 10 else 200)
        notifying = await world.start()
        begun = asyncio.get_running_loop().time()
        world.submit(10)
        good = [f"hook-{number}" for number in range(0, 1000, 10)]
        await world.until(lambda: all(len(world.got[name]) == 10 for name in good))
        took = asyncio.get_running_loop().time() - begun
        assert notifying.outbox.waiting > 0
        assert max(world.most[name] for name in world.hooks if name not in good) == 1
        # Those that work are known by now, and get theirs before the cursor moves for all.
        world.submit(5)
        await world.until(lambda: all(len(world.got[name]) == 15 for name in good))
        for name in good:
            assert [int(got.headers["helix-number"]) for got in world.got[name]] == [*range(1, 16)]
        await world.until(lambda: notifying.outbox.cursor == world.plane.engine.state.seq)
        assert not notifying.outbox.is_between
        print(f"100 receivers beside 900 that hang: {took:.2f} s")

    told(tmp_path, story)


def test_a_failed_event_is_tried_again_with_the_same_id(tmp_path: Path) -> None:
    """The second try follows after about five seconds, the third after minutes, also across a kill."""

    async def story(world: World) -> None:
        answers = iter([500, 502, 200])
        world.hook("shaky", lambda got: next(answers))
        await world.start()
        world.submit()
        await world.until(lambda: len(world.got["shaky"]) == 1)
        world.wait(3.9)
        await world.looked()
        assert len(world.got["shaky"]) == 1
        world.wait(2.2)
        await world.until(lambda: len(world.got["shaky"]) == 2)
        await world.until(lambda: world.notifying.outbox.waiting == 1)
        await world.kill()
        world.passed += 361
        await world.start()
        await world.until(lambda: len(world.got["shaky"]) == 3)

    world = told(tmp_path, story)
    assert len({got.headers["webhook-id"] for got in world.got["shaky"]}) == 1
    assert [got.headers["helix-try"] for got in world.got["shaky"]] == ["1", "2", "3"]
    assert numbers(world, "shaky") == [1, 1, 1]
    stamps = [int(got.headers["webhook-timestamp"]) for got in world.got["shaky"]]
    assert stamps == sorted(stamps)
    assert stamps[2] - stamps[0] >= 365


def test_a_task_that_left_memory_meanwhile_is_told_all_the_same(tmp_path: Path) -> None:
    """Its owner hears of it, and a filter by its labels finds it: at a further try, and for one that was
    paused."""

    async def story(world: World) -> None:
        dora = add_user(world.plane, "dora", "a password", ["developer"])
        wanted = Filter(("task.cancelled",), labels=(("zone", "a"),))
        answers = iter([500, 200])
        world.hook("failing", lambda got: next(answers), owner=dora, filter=wanted)
        world.hook("paused", owner=dora, filter=wanted, status="paused")
        await world.start()
        task_id = world.submit(by=dora, labels={"zone": "a"})[0]
        world.cancel(task_id)
        await world.until(lambda: len(world.got["failing"]) == 1)
        await world.kill()
        world.archive(task_id)
        world.passed += 10.0
        world.change("paused", status="active")
        await world.start()
        await world.until(lambda: len(world.got["failing"]) == 2 and len(world.got["paused"]) == 1)
        assert {got.task for name in ("failing", "paused") for got in world.got[name]} == {task_id}

    told(tmp_path, story)


def test_a_receiver_that_asks_for_time_gets_it(tmp_path: Path) -> None:
    """After 429 with Retry-After nothing is sent until then, not even other events."""

    async def story(world: World) -> None:
        answers = iter([429])
        world.hook("busy", lambda got: next(answers, 200))
        await world.start()
        world.submit()
        await world.until(lambda: len(world.got["busy"]) == 1)
        world.submit()
        world.wait(29.0)
        await world.looked()
        assert len(world.got["busy"]) == 1
        world.wait(1.1)
        await world.until(lambda: len(world.got["busy"]) == 3)

    told(tmp_path, story)


def test_a_receiver_that_is_gone_is_switched_off(tmp_path: Path) -> None:
    """410 switches a webhook off at once; what happens then is held and counted."""

    async def story(world: World) -> None:
        world.hook("gone", 410)
        await world.start()
        world.submit()
        await world.until(lambda: "gone" in world.switched_off)
        world.submit(3)
        await world.until(lambda: world.notifying.outbox.places["gone"].held == 3)
        assert len(world.got["gone"]) == 1

    told(tmp_path, story)


def test_five_days_of_failures_switch_off_at_the_instant(tmp_path: Path) -> None:
    """It is off five days after the first failure and not before; a success starts the count again."""

    async def story(world: World) -> None:
        answers = iter([500, 200])
        world.hook("saved", lambda got: next(answers, 500))
        world.hook("dead", 500)
        await world.start()
        world.submit()
        await world.until(lambda: len(world.got["dead"]) == len(world.got["saved"]) == 1)
        await world.until(lambda: world.notifying.outbox.waiting == 2)
        failing_since = world.notifying.outbox.places["dead"].standing.failing_since
        assert failing_since is not None
        world.wait(6.0)
        await world.until(lambda: len(world.got["saved"]) == 2)
        world.wait(failing_since + OFF_AFTER_S - world.now() - 0.5)
        await world.looked()
        assert not world.switched_off
        world.wait(0.6)
        await world.until(lambda: world.switched_off == {"dead": FAILING})

    told(tmp_path, story)


@pytest.mark.parametrize("replay", [True, False])
def test_what_is_held_is_replayed_or_skipped(tmp_path: Path, replay: bool) -> None:
    """A paused webhook gets nothing, and afterwards everything or what comes then; numbers stay dense."""

    async def story(world: World) -> None:
        world.hook("paused")
        await world.start()
        world.submit(2)
        await world.until(lambda: len(world.got["paused"]) == 2)
        world.change("paused", status="paused")
        world.submit(700)
        await world.until(lambda: world.notifying.outbox.places["paused"].held == 700)
        await world.looked()
        assert len(world.got["paused"]) == 2
        seq = world.plane.engine.state.seq
        world.change("paused", status="active", **({} if replay else {"since": seq}))
        world.submit(3)
        await world.until(lambda: len(world.got["paused"]) >= (705 if replay else 5))
        assert world.notifying.outbox.places["paused"].held == 0

    world = told(tmp_path, story)
    assert sorted(numbers(world, "paused")) == list(range(1, (705 if replay else 5) + 1))


def test_too_many_waiting_messages_stay_in_the_journal(tmp_path: Path) -> None:
    """A receiver that is dead for long has a bounded number of rows, and gets everything afterwards."""

    async def story(world: World) -> None:
        mode = [500]
        world.hook("slow", lambda got: mode[0])
        await world.start()
        for _ in range(20):
            world.submit(10)
        await world.until(lambda: (world.notifying.outbox.cursor or 0) >= world.plane.engine.state.seq)
        place = world.notifying.outbox.places["slow"]
        assert place.waiting <= 40
        assert place.cursor is not None
        mode[0] = 200
        seen = lambda: {got.task for got in world.got["slow"]}  # noqa: E731
        async with asyncio.timeout(20):
            while len(seen()) < 200 or world.notifying.outbox.waiting:
                world.wait(400.0)
                await world.looked()

    told(tmp_path, story, OutboxBounds(waiting_max=40))


def test_a_deleted_webhook_ends_its_messages(tmp_path: Path) -> None:
    """1,000 waiting messages end as dropped, and none is sent."""

    async def story(world: World) -> None:
        world.hook("dead", 500)
        await world.start()
        for _ in range(10):
            world.submit(100)
        await world.until(lambda: world.notifying.outbox.places["dead"].waiting == 1000)
        sent = len(world.got["dead"])
        del world.hooks["dead"]
        world.stir()
        await world.until(lambda: "dead" not in world.notifying.outbox.places)
        world.wait(100_000.0)
        await world.looked()
        assert len(world.got["dead"]) == sent
        await world.until(lambda: world.notifying.outbox.counts("dead")["dropped"] == 1000)
        (one,) = world.notifying.outbox.deliveries.listed("dead", "dropped", None, 1)
        assert one.why == "deleted"

    told(tmp_path, story)


def test_a_lost_outbox_goes_on_behind_the_mark(tmp_path: Path) -> None:
    """Without its file the notifier goes on from what the journal notes: nothing is lost, numbers go on."""

    async def story(world: World) -> None:
        world.hook("all")
        await world.start()
        world.submit(20)
        await world.until(lambda: len(world.got["all"]) == 20)
        await world.until(lambda: world.notifying.outbox.counts("all")["delivered"] == 20)
        mark = world.notifying.outbox.mark("all")
        await world.kill()
        for path in world.path.parent.glob("outbox.sqlite*"):
            path.unlink()
        world.hooks["all"] = world.change_mark("all", mark)
        world.submit(10)
        await world.start()
        await world.until(lambda: len(world.got["all"]) == 30)

    world = told(tmp_path, story)
    assert sorted(numbers(world, "all")) == list(range(1, 31))


def test_what_the_owner_may_not_see_now_is_not_sent(tmp_path: Path) -> None:
    """A message waits for its next try; its owner loses the role meanwhile, and it is dropped."""

    async def story(world: World) -> None:
        user = add_user(world.plane, "former", "a password", ["admin"])
        world.hook("former", 500, owner=user)
        await world.start()
        world.submit()
        await world.until(lambda: len(world.got["former"]) == 1)
        await world.until(lambda: world.notifying.outbox.waiting == 1)
        world.modes["former"] = 200
        world.hooks["former"] = replace(world.hooks["former"], owner=replace(user, roles=("developer",)))
        world.plane.give(ChangeRoles("former", ("developer",)), world.owner)
        own = world.submit(by=replace(user, roles=("developer",)))
        await world.until(lambda: len(world.got["former"]) == 2)
        world.wait(10.0)
        await world.until(lambda: world.notifying.outbox.waiting == 0)
        assert world.got["former"][1].task in own
        (_, dropped) = world.notifying.outbox.deliveries.listed("former", None, None, 10)
        assert (dropped.state, dropped.why) == ("dropped", "not_allowed")

    told(tmp_path, story)


def test_the_control_plane_away_delays_and_loses_nothing(tmp_path: Path) -> None:
    """While the control plane is away nothing is invented; afterwards everything arrives by itself."""

    async def story(world: World) -> None:
        world.hook("all")
        await world.start()
        world.submit(5)
        await world.until(lambda: len(world.got["all"]) == 5)
        world.away = True
        world.submit(5)
        await world.until(lambda: world.refusals > 0)
        world.away = False
        await world.until(lambda: len(world.got["all"]) == 10)

    world = told(tmp_path, story)
    assert sorted(numbers(world, "all")) == list(range(1, 11))


def test_deliveries_show_requests_without_secrets(tmp_path: Path) -> None:
    """A delivery shows its request and every try; signatures and the owner's own headers are masked."""

    async def story(world: World) -> None:
        world.hook("shown", 500, headers={"Authorization": "Bearer canary"})
        await world.start()
        world.submit()
        await world.until(lambda: world.notifying.outbox.waiting == 1 and bool(world.got["shown"]))
        page = await world.notifying.answer(ListDeliveries("shown"))
        (row,) = page["deliveries"]
        assert (row["status"], row["tries"], row["last_try"]["failure"]) == ("waiting", 1, "http_500")
        assert page["standing"]["off_at"] == page["standing"]["failing_since"] + OFF_AFTER_S
        one = await world.notifying.answer(GetDelivery("shown", row["seq"]))
        text = str(one)
        assert world.got["shown"][0]["data"]["task_id"] in one["request"]["body"]
        assert "canary" not in text
        assert world.got["shown"][0]["signature"] not in text
        assert world.got["shown"][0].headers["webhook-signature"] not in text
        assert one["history"][0]["body"] == "thanks"
        assert await world.notifying.answer(GetDelivery("shown", 10_000)) is None

    told(tmp_path, story)


def test_a_receiver_that_echoes_requests_shows_no_secret(tmp_path: Path) -> None:
    """Neither in its headers nor in its body, also where the end of what is kept cuts one in two."""
    headers = {"Authorization": "Bearer canary-of-it", "X-Short": "on"}
    hook = World(tmp_path).hook("echo", headers=headers)
    said = (
        b'{"Authorization": "Bearer canary-of-it", "key": "canary-of-it", "s": "a secret of it", "x": "on"}'
    )
    assert b"canary" not in masked(hook, said)
    assert b"a secret" not in masked(hook, said)
    assert b'"x": "on"' in masked(hook, said)
    for size in range(6, len(b"Bearer canary-of-it")):
        cut = b"Bearer canary-of-it"[:size]
        assert masked(hook, b"." * (RESPONSE_BYTES_KEPT - size) + cut) == b"." * (RESPONSE_BYTES_KEPT - size)

    async def story(world: World) -> None:
        world.hook("echo", headers=headers)
        world.answer = said
        await world.start()
        world.submit()
        await world.until(
            lambda: bool(world.notifying.outbox.deliveries.listed("echo", "delivered", None, 9))
        )
        (row,) = (await world.notifying.answer(ListDeliveries("echo")))["deliveries"]
        assert row["last_try"]["body"].count(MASK) == 3

    told(tmp_path, story)
