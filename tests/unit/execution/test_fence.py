"""A node that is not heard for long ends what it runs; a master that stalls or starts again ends nothing."""

from __future__ import annotations

from helix_ray.config import Settings
from helix_ray.execution.fence import Fence


def test_silence_is_counted_from_the_sending_of_what_was_acknowledged() -> None:
    """An acknowledgement that comes late says only that the node was alive when it sent."""
    fence = Fence(30.0, 100.0)
    assert not fence.due(130.0)
    fence.acknowledged(110.0)
    fence.acknowledged(105.0)
    assert not fence.due(140.0)
    assert fence.due(140.1)


def test_the_default_is_three_leases() -> None:
    """A master that is away for ten seconds, and its whole lease after that, meets running tasks."""
    settings = Settings()
    assert settings.node_fence_s >= 3 * settings.node_lease_s
