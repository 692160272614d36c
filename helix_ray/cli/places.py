"""Where each command of `helix` is defined. A command is imported and built when it is asked for: all of them
take longer than most calls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import typer
from typer.main import get_group

from helix_ray.cli.exits import CommandGroup

GROUP = "app"


@dataclass(frozen=True, slots=True)
class CommandPlace:
    """A module and a name in it: a command, or a group of them, to which `more` belong from other modules."""

    module: str
    name: str = GROUP
    more: Mapping[str, CommandPlace] = field(default_factory=dict)

    def build(self, word: str) -> Any:
        """Return the command that is called `word`."""
        module = import_module(f"helix_ray.cli.{self.module}")
        around = typer.Typer()
        if self.name == GROUP:
            around.add_typer(module.app, name=word, cls=CommandGroup)
        else:
            # Of modules whose commands pass their words on to another program.
            settings = getattr(module, "PASS_ON", None)
            around.command(word, context_settings=settings)(getattr(module, self.name))
        # A callback makes it a group, whatever it contains.
        around.callback()(_nothing)
        built = get_group(around).commands[word]
        for other, place in self.more.items():
            built.add_command(place.build(other))  # type: ignore[attr-defined]  # it is a group
        return built


class Commands(Mapping[str, Any]):
    """The commands by name, each built when it is first asked for."""

    def __init__(self, places: Mapping[str, CommandPlace]) -> None:
        self._places = places
        self._built: dict[str, Any] = {}

    def __getitem__(self, word: str) -> Any:
        if word not in self._built:
            self._built[word] = self._places[word].build(word)
        return self._built[word]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def _nothing() -> None:
    """Do nothing before a command."""


# In the order of the help.
PLACES = {
    "up": CommandPlace("up", "up"),
    "down": CommandPlace("up", "down"),
    "node": CommandPlace("node", "node"),
    "backup": CommandPlace("backup", "backup"),
    "restore": CommandPlace("backup", "restore"),
    "node-resources": CommandPlace("node", "resources"),
    "acceleration": CommandPlace("acceleration", "acceleration"),
    "system": CommandPlace("system", "system"),
    "security": CommandPlace("security", "security"),
    "login": CommandPlace("login", "login"),
    "logout": CommandPlace("login", "logout"),
    "whoami": CommandPlace("login", "whoami"),
    "watch": CommandPlace("events", "watch"),
    "task": CommandPlace("tasks"),
    "model": CommandPlace("models", more={"run": CommandPlace("model_run", "run")}),
    "dataset": CommandPlace("datasets"),
    "worker": CommandPlace("workers"),
    "cluster": CommandPlace("cluster"),
    "project": CommandPlace("projects"),
    "quota": CommandPlace("quotas"),
    "user": CommandPlace("users"),
    "token": CommandPlace("tokens"),
    "session": CommandPlace("sessions"),
    "device": CommandPlace("synced"),
    "webhook": CommandPlace(
        "webhooks",
        more={
            "listen": CommandPlace("webhook_local", "listen"),
            "trigger": CommandPlace("webhook_local", "trigger"),
        },
    ),
    "erase": CommandPlace("erasures"),
    "journal": CommandPlace("journal"),
    "audit": CommandPlace(
        "audit_proofs",
        more={
            "list": CommandPlace("audit", "list_audit"),
            "acknowledge": CommandPlace("audit", "acknowledge"),
            "forward": CommandPlace("audit_forward", "forward"),
            "compare": CommandPlace("audit_compare", "compare"),
            "witness": CommandPlace("audit_witness", "witness"),
        },
    ),
}
