"""The nodes of the Ray cluster as Ray lists them."""

from __future__ import annotations

from typing import TypedDict

import ray


class RayNode(TypedDict):
    """A node as Ray has it, dead ones included; resources and labels in Ray's names."""

    NodeID: str
    NodeManagerAddress: str
    NodeManagerHostname: str
    Alive: bool
    Resources: dict[str, float]
    Labels: dict[str, str] | None


def listed() -> list[RayNode]:
    """Return all nodes there are and were; blocks until Ray answers."""
    nodes: list[RayNode] = ray.nodes()
    return nodes
