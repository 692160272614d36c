"""What the notifier asks of the control plane for messages that wait."""

from __future__ import annotations

from pathlib import Path

from helix_ray.plane.notice_feed import Notices
from tests.unit.webhooks.test_notifying import told
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
