"""What the notifier asks of the control plane for messages that wait, and what it makes of late news."""

from __future__ import annotations

import errno
import itertools
from pathlib import Path
from typing import Any

from helix_ray.core.deliveries import ListDeliveries
from helix_ray.plane.notice_feed import Notices
from helix_ray.webhooks.messages import Matches
from helix_ray.webhooks.notifying import TAKE_MESSAGES
from tests.unit.webhooks.test_notifying import numbers, told
from tests.unit.webhooks.world import World


def test_facts_of_many_waiting_messages_are_read_together(tmp_path: Path) -> None:
    """After a restart a few questions to the control plane give the facts of all messages that wait."""
    questions: list[int] = []

    async def story(world: World) -> None:
        world.hook("later", 500)
        await world.start()
        world.submit(100)
        await world.until(lambda: len(world.got["later"]) == 100)
        await world.until(lambda: world.notifying.outbox.waiting == 100)
        await world.kill()
        world.modes["later"] = 200
        world.passed += 10
        await world.start()
        page = world.notifying._page

        async def counted(after: int, through: int) -> Notices:
            questions.append(after)
            return await page(after, through)

        world.notifying._page = counted  # type: ignore[method-assign]
        await world.until(lambda: len(world.got["later"]) == 200)

    told(tmp_path, story)
    assert 1 <= len(questions) < 10


def test_410_of_before_a_webhook_was_resumed_does_not_switch_it_off(tmp_path: Path) -> None:
    """Requests that were under way as a webhook was switched off may be answered 410 as well."""

    async def story(world: World) -> None:
        world.hook("back", 410)
        await world.start()
        world.submit()
        await world.until(lambda: "back" in world.switched_off)
        await world.until(lambda: world.notifying.outbox.places["back"].cursor is not None)
        world.notifying._note_gone("back")
        world.switched_off.clear()
        world.modes["back"] = 200
        world.change("back", status="active")
        world.submit()
        await world.until(lambda: len(world.got["back"]) == 2)
        await world.notifying.care()

    assert not told(tmp_path, story).switched_off


def test_a_clock_that_jumps_ahead_is_looked_at(tmp_path: Path) -> None:
    """What is due after the machine stood still is sent, though its timer runs on."""

    async def story(world: World) -> None:
        world.hook("shaky", 500)
        await world.start()
        world.submit()

        def waits(tries: int) -> bool:
            return len(world.got["shaky"]) == tries and world.notifying.outbox.waiting == 1

        await world.until(lambda: waits(1))
        world.wait(6.1)
        await world.until(lambda: waits(2))
        world.passed += 361
        await world.notifying.care()
        await world.until(lambda: waits(3))

    told(tmp_path, story)


def test_a_clock_that_is_set_back_delays_nothing(tmp_path: Path) -> None:
    """Neither a further try, nor what waits because its receiver asked for time, nor the end of one that has
    nothing but failures; in this run and in the next one."""

    async def story(world: World) -> None:
        answers = iter([429])
        world.hook("shaky", 500)
        world.hook("busy", lambda got: next(answers, 200))
        await world.start()
        world.submit()
        await world.until(lambda: len(world.got["shaky"]) == len(world.got["busy"]) == 1)
        await world.looked()
        world.passed -= 3600
        failed_at = world.now()
        await world.notifying.care()
        page = await world.notifying.answer(ListDeliveries("shaky"))
        assert page is not None
        assert "standing" in page
        assert page["standing"]["failing_since"] is not None
        assert abs(page["standing"]["failing_since"] - failed_at) < 30.0
        world.wait(6.1)
        await world.until(lambda: len(world.got["shaky"]) == 2)
        assert len(world.got["busy"]) == 1
        world.wait(24.0)
        await world.until(lambda: len(world.got["busy"]) == 2)
        # Less than the clock was set back, more than the pause.
        await world.looked()
        await world.notifying.care()
        await world.kill()
        # And once more, while nobody looks.
        world.passed -= 7200
        await world.start()
        await world.looked()
        await world.notifying.care()
        assert len(world.got["shaky"]) == 2
        await world.kill()
        world.passed += 361
        await world.start()
        await world.until(lambda: len(world.got["shaky"]) == 3)

    told(tmp_path, story)


def test_a_try_that_fails_just_after_is_not_early(tmp_path: Path) -> None:
    """What became due by the clock of before, and what by that of after, are moved once, or not at all."""

    async def story(world: World) -> None:
        world.hook("shaky", 500)
        await world.start()
        world.passed -= 3600
        world.submit()
        listed = lambda: world.notifying.outbox.deliveries.listed("shaky", "waiting", None, 10)  # noqa: E731
        await world.until(lambda: [one.message.tries for one in listed()] == [1])
        page = await world.notifying.answer(ListDeliveries("shaky"))
        assert page is not None
        assert "deliveries" in page
        again_at = page["deliveries"][0]["next_try_at"]
        assert again_at is not None
        assert 3.0 < again_at - world.now() < 6.1

    told(tmp_path, story)


def test_many_facts_are_taken_in_parts(tmp_path: Path) -> None:
    """However many facts come for however many webhooks, what becomes of requests is noted in between."""
    sizes: list[int] = []

    async def story(world: World) -> None:
        names = [f"hook{number}" for number in range(12)]
        for name in names:
            world.hook(name)
        await world.start()
        take = world.notifying.outbox.take

        def counted(cursor: int, matches: Matches, held: Matches) -> list[str]:
            sizes.append(sum(map(len, matches.values())))
            return take(cursor, matches, held)

        world.notifying.outbox.take = counted  # type: ignore[method-assign]
        world.submit(150)
        await world.until(lambda: all(len(world.got[name]) == 150 for name in names))
        assert all(numbers(world, name) == [*range(1, 151)] for name in names)

    told(tmp_path, story)
    assert sum(sizes) == 12 * 150
    assert max(sizes) <= TAKE_MESSAGES < 12 * 150


def test_a_disk_that_is_full_now_and_then_loses_nothing(tmp_path: Path) -> None:
    """A turn that cannot be noted is made again: each message has its number, and no task is left over."""

    async def story(world: World) -> None:
        names = [f"hook{number}" for number in range(3)]
        for name in names:
            world.hook(name)
        await world.start()
        note, turns = world.notifying.outbox._turns.note, itertools.count()

        def sometimes(*values: Any) -> None:
            if next(turns) % 3 == 2:
                raise OSError(errno.ENOSPC, "no space left")
            note(*values)

        world.notifying.outbox._turns.note = sometimes  # type: ignore[method-assign]
        world.submit(40)
        courier = world.notifying.courier
        await world.until(lambda: all(len(world.got[name]) >= 40 for name in names))
        await world.until(lambda: not (courier._ended or courier._senders))
        assert all(sorted(numbers(world, name)) == [*range(1, 41)] for name in names)
        assert (courier._free, len(courier._begun)) == (0, 0)
        assert next(turns) > 20

    told(tmp_path, story)
