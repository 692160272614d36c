"""The words of isolation: what is wanted, what is in force, what a cell offers and where its folders are."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Literal, TypeAlias

Wish: TypeAlias = Literal["auto", "namespaces", "user", "none"]
Level: TypeAlias = Literal["namespaces", "namespaces without /proc", "user", "none"]


class NotOffered(Exception):
    """The isolation that was asked for is not offered here; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the operator asks for: the settings HELIX_ISOLATION, HELIX_RUN_AS, and the folders to hide or
    to write."""

    wish: Wish = "auto"
    run_as: str | None = None
    hidden: tuple[str, ...] = ()
    writable: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Isolation:
    """What is in force; `why` says what stands in the way of a stronger level, and is empty for the
    strongest.

    uid and gid are -1 where commands run as the server's own user.
    """

    level: Level
    _: KW_ONLY
    uid: int = -1
    gid: int = -1
    user: str = ""
    own_userns: bool = False
    why: str = ""

    @property
    def name(self) -> str:
        """Return the level, and the user where it is another one."""
        return f"{self.level} as {self.user}" if self.user else self.level

    @property
    def contained(self) -> bool:
        """Say whether commands have namespaces of their own."""
        return self.level in ("namespaces", "namespaces without /proc")


@dataclass(frozen=True, slots=True)
class CellSpec:
    """What a cell offers its commands: accelerators' device nodes, the network, a share of memory and
    CPUs."""

    devices: bool = False
    network: bool = True
    memory_mb: float | None = None
    cpus: float | None = None


@dataclass(frozen=True, slots=True)
class CellFolders:
    """The folders of one cell: `tmp` becomes its /tmp, `attempts` stands at `shown` inside."""

    tmp: str
    var_tmp: str
    attempts: str
    shown: str
