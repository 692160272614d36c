"""Facts about erasures: who asked for which, what was erased, and what a fact reads as that was."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class ErasureRequested:
    """The facts about these tasks and users are to be erased; `reason` stays on record for good."""

    id: str
    tasks: list[str]
    users: list[str]
    reason: str


@dataclass(slots=True)
class ErasureCompleted:
    """The journal contains nothing of an erasure any more: the bodies of `facts` facts were erased.

    `kept` facts keep theirs, because what they are about exists again. `copies` are files beside the journal
    that may still contain erased values; only their owner removes them.
    """

    id: str
    facts: int
    kept: int
    copies: list[str]


@dataclass(slots=True)
class FactsErased:
    """The bodies of the facts with these seqs were erased, and why; that they happened, when and
    by whom stays on record.

    `erasure` is the request that it carries out. `tasks` and `others` are the ids of the objects that the
    facts were about: other stores (logs, results) remove what they have of these tasks.
    """

    seqs: list[int]
    reason: str
    erasure: str = ""
    tasks: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Erased:
    """What an erased fact reads as: its kind, and what it was about. No fact is ever written with it."""

    id: str
    kind: str
