"""HEAD claims what the master has answered, although the answer goes first."""

from __future__ import annotations

import json

from helix_ray.core.orders import Receipt, SubmitTasks
from helix_ray.core.questions import ListWorkers
from tests.ray.conftest import LiveCluster, command


def claimed(cluster: LiveCluster) -> int:
    """Return the seq of the newest claim in HEAD."""
    text = (cluster.settings.data_dir / "HEAD").read_bytes().replace(b"\0", b"")
    return max(json.loads(line.rpartition(b" ")[0])["seq"] for line in text.splitlines())


def test_head_claims_what_was_answered(cluster: LiveCluster) -> None:
    """Before the master answers another question, not only when HEAD is made durable, each second."""
    for _ in range(20):
        receipt = cluster.execute(SubmitTasks((command("true"),)))
        cluster.ask(ListWorkers())
        assert isinstance(receipt, Receipt)
        assert claimed(cluster) >= receipt.seq
