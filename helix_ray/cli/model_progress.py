"""Says on standard error how far the examination and the tunings of a version have come."""

from __future__ import annotations

from typing import TYPE_CHECKING

from helix_ray.cli.output import say

if TYPE_CHECKING:
    from helix_ray.wire.models import ModelWorkOut, VersionOut

DOES = {"examination": "examination", "tuning": "tuning on"}
STEP_PERCENT = 10


class ModelProgress:
    """Gets a version again and again, and says what has changed: a line for each step of a task."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def __call__(self, version: VersionOut) -> None:
        """Say what was not said before."""
        named = f"{version['name']}@{version['version']}"
        lines = [f"{named}: {_line(each)}" for each in version["work"]]
        if not version["settled"]:
            lines += [
                f"{named}: to be tuned on {each['node_class']}"
                for each in version["tunings"]
                if each["state"] == "untuned"
            ]
        for line in lines:
            if line not in self._said:
                self._said.add(line)
                say(line)


def _line(work: ModelWorkOut) -> str:
    what = " ".join(filter(None, (DOES.get(work["kind"], work["kind"]), work["node_class"])))
    if work["status"] != "running":
        return f"{what}: {work['status']}; to see why: helix task explain {work['task']}"
    note = f": {work['note']}" if work["note"] else ""
    return f"{what}, {work['progress'] // STEP_PERCENT * STEP_PERCENT:.0f} %{note}"
