"""The node's files in its data directory: a lock that its supervisor takes, and a file that names the
supervisor."""

from __future__ import annotations

from dataclasses import dataclass

from launcher.up.holding import Holder, Holding

LOG_FILE = "node.log"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningNode(Holder):
    """The supervisor that runs here, and the arguments it was started with."""

    arguments: list[str]


HOME = Holding("node.lock", "node.json", RunningNode)
