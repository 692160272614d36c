"""The changes to a task, or around it, that would place it: a type for each kind, told apart by `change`."""

from __future__ import annotations

from typing import Literal, TypedDict


class DropCapability(TypedDict):
    """Ask for one capability less."""

    change: Literal["drop_capability"]
    name: str


class DropLabel(TypedDict):
    """Ask for one label less."""

    change: Literal["drop_label"]
    name: str
    value: str


class Reduce(TypedDict):
    """Ask for `by` less of a resource."""

    change: Literal["reduce"]
    resource: str
    to: float
    by: float


class FewerShards(TypedDict):
    """Go into `by` shards less."""

    change: Literal["fewer_shards"]
    to: int
    by: int


class Undrain(TypedDict):
    """Let a node take tasks again."""

    change: Literal["undrain"]
    node: str


class RaiseQuota(TypedDict):
    """Let a project use `by` more of a resource."""

    change: Literal["raise_quota"]
    project_id: str
    resource: str
    by: float


Change = DropCapability | DropLabel | Reduce | FewerShards | Undrain | RaiseQuota
