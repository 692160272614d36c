"""Clusters over a control plane in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from helix_ray.cluster.api import Cluster
from helix_ray.plane.control import Plane
from tests.unit.cluster.memory_links import LINKS, MemoryLinks


@pytest.fixture
def connect() -> Iterator[Callable[..., Cluster]]:
    """Give `connect(**settings) -> Cluster`; `links_of` has what it stands on."""
    made: list[Cluster] = []

    def start(**settings: Any) -> Cluster:
        links = MemoryLinks(**settings)
        cluster = Cluster(Plane(links))
        LINKS[cluster] = links
        made.append(cluster)
        return cluster

    yield start
    for cluster in made:
        cluster.close()


@pytest.fixture
def cluster(connect: Callable[..., Cluster]) -> Cluster:
    """A cluster whose node runs every task at once."""
    return connect()
