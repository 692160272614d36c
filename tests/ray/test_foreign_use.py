"""Other work on the cluster is seen as used; our own executors are not."""

from __future__ import annotations

from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from helix_ray.core.questions import GetWorker, ListWorkers
from tests.ray.conftest import LiveCluster, function
from tests.ray.signals import until


class Bystander:
    """An actor of another job."""

    def there(self) -> bool:
        """Answer as soon as it has its resources."""
        return True


def test_what_another_job_holds_is_in_the_heartbeat_until_it_lets_go(cluster: LiveCluster) -> None:
    """One CPU of an actor that is not ours shows up on its node within seconds, beside tasks
    of ours, and goes again."""
    worker = next(w for w in cluster.ask(ListWorkers())["workers"] if w["status"] != "lost")

    def foreign() -> Any:
        return cluster.ask(GetWorker(worker["id"]))["usage"].get("foreign")

    until(lambda: foreign() == {})
    here = NodeAffinitySchedulingStrategy(worker["node_id"], soft=False)
    # The node's default executor may hold one of the two CPUs, so there is room for exactly this.
    actor: Any = ray.remote(Bystander).options(num_cpus=1, scheduling_strategy=here).remote()
    assert ray.get(actor.there.remote(), timeout=60)
    until(lambda: foreign() == {"cpu": 1.0})
    cluster.outcomes(cluster.submit(*[function("add", i, i) for i in range(50)]))
    until(lambda: foreign() == {"cpu": 1.0})
    ray.kill(actor)
    until(lambda: foreign() == {})
    assert cluster.ask(GetWorker(worker["id"]))["usage"]["memory_total"] > 0
