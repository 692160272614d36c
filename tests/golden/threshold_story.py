"""What happens in journal-thresholds."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from helix_ray.core import orders as o
from helix_ray.core.access import SYSTEM

if TYPE_CHECKING:
    from tests.golden.stories import Story


def thresholds(story: Story) -> None:
    """A node whose memory is over its limits, below them again, and over them when it registers again."""
    node = o.RegisterWorker(
        "host-a", (), {"cpu": 4.0}, worker_id="worker-a", kind="node", node_id="a", boot="boot-1"
    )
    story.tell(node, SYSTEM)
    for level, value, limit in (
        ("warning", 91.5, 90.0), ("critical", 97.0, 97.0), ("ok", 60.0, 90.0), ("warning", 90.0, 90.0),
    ):  # fmt: skip
        story.tell(o.CrossThreshold("worker-a", "memory", level, value, limit, 60.0), SYSTEM)
    story.tell(o.CrossThreshold("worker-a", "disk", "critical", 99.0, 95.0, 60.0), SYSTEM)
    story.tell(replace(node, boot="boot-2"), SYSTEM)
