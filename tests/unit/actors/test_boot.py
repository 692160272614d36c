"""What a start still misses: actors by what they are to a request, and nodes whose workers are not
there, with the reasons."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from actors.boot import _rest_missing
from actors.life import Fatal
from helix_ray.ports import STARTING

HERE, WAITS, COMES = "0" * 56, "1234567890abcdef" * 3 + "12345678", "f" * 56
HELD = "another live node is already named worker-local-2"


class Supervisor:
    """Answers as the actor does: `handle.status.remote()` is awaited."""

    def __init__(self, **said: Any) -> None:
        self._said = {"fatal": None, "missing": {}, "nodes": [HERE], "waiting": {}} | said
        self.status = self

    async def remote(self) -> dict[str, Any]:
        return self._said


def missing(**said: Any) -> dict[str, str]:
    return asyncio.run(_rest_missing(Supervisor(**said), {HERE, WAITS, COMES}))


def test_nodes_and_actors_are_named_with_their_reasons() -> None:
    """A node that the supervisor has a reason for, one that has only begun, and an actor."""
    assert missing(missing={"history": "history.duckdb: Permission denied"}, waiting={WAITS: HELD}) == {
        "history": "history.duckdb: Permission denied",
        "the worker of node 1234567890ab": HELD,
        "the worker of node ffffffffffff": STARTING,
    }


def test_nothing_is_missing_where_all_are_registered() -> None:
    """Nodes beyond those that are waited for do not matter."""
    assert missing(nodes=[HERE, WAITS, COMES, "another"]) == {}


def test_what_is_fatal_is_not_waited_for() -> None:
    """A damaged journal ends the start with its reason."""
    with pytest.raises(Fatal, match="JournalDamaged"):
        missing(fatal="JournalDamaged: it is garbage")
