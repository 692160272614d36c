"""Verifies an export by itself, and against checkpoints that were kept elsewhere; needs no server."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NamedTuple

from helix_ray.audit_export.lines import LINE_BYTES_MAX, Beginning, NotAnExport, leaf_in
from helix_ray.checkpoints import Checkpoint, origin_of
from helix_ray.journal.merkle import Frontier

# How many leaves are put into the tree at a time.
LEAVES_PER_STEP = 4096
# Nodes are not kept: only the right edge of the tree is needed.
_NO_NODES = 64


class Tampered(Exception):
    """The export does not have the facts that were written: one of `first` to `last` differs or is missing.

    `first` equals `last` where a line shows by itself that it is not the fact.
    """

    def __init__(self, first: int, last: int, why: str) -> None:
        super().__init__(why)
        self.first = first
        self.last = last


class VerifiedExport(NamedTuple):
    """Facts `after` + 1 to `frontier.size` fit together, and `compared` checkpoints fit them."""

    beginning: Beginning
    frontier: Frontier
    compared: Sequence[Checkpoint]


def verify_file(
    path: Path, checkpoints: Iterable[Checkpoint] = (), on_facts: Callable[[int], None] = lambda seq: None
) -> VerifiedExport:
    """Verify the export in a file. Raises OSError, NotAnExport, Tampered."""
    with path.open("rb") as file:
        try:
            return verify(file, checkpoints, on_facts)
        except NotAnExport as error:
            raise NotAnExport(f"{path}: {error}") from None


def verify(
    file: BinaryIO, checkpoints: Iterable[Checkpoint] = (), on_facts: Callable[[int], None] = lambda seq: None
) -> VerifiedExport:
    """Verify an export: every line, and the root at each checkpoint's size. Raises NotAnExport, Tampered.

    A rewritten end whose leaves fit is found by a checkpoint only: then one of the facts since the
    checkpoint before is named, so more checkpoints name it more exactly.
    """
    beginning = Beginning.of(file.readline(LINE_BYTES_MAX))
    frontier = beginning.frontier
    due = sorted(checkpoints, key=lambda one: one.size)
    _refuse_too_old(due, frontier.size)
    known = frontier.size
    lines = iter(lambda: file.readline(LINE_BYTES_MAX), b"")
    for checkpoint in due:
        _check_origin(checkpoint, beginning)
        frontier = _advance(frontier, lines, checkpoint.size, beginning, on_facts)
        if frontier.size < checkpoint.size:
            first, last = frontier.size + 1, checkpoint.size
            raise Tampered(first, last, f"facts {first} to {last} are missing: the checkpoint has them")
        if frontier.root() != checkpoint.root:
            first, last = min(known + 1, checkpoint.size), checkpoint.size
            raise Tampered(first, last, f"one of facts {first} to {last} is not that of the checkpoint")
        known = checkpoint.size
    return VerifiedExport(beginning, _advance(frontier, lines, None, beginning, on_facts), due)


def _advance(
    frontier: Frontier,
    lines: Iterator[bytes],
    through: int | None,
    beginning: Beginning,
    on_facts: Callable[[int], None],
) -> Frontier:
    """Return the tree after the next lines, up to fact `through` or to the end."""
    while through is None or frontier.size < through:
        count = LEAVES_PER_STEP if through is None else min(LEAVES_PER_STEP, through - frontier.size)
        leaves = _leaves(islice(lines, count), frontier.size)
        if not leaves:
            break
        if frontier.size == 0 and origin_of(leaves[0]) != beginning.origin:
            raise Tampered(1, 1, f"fact 1 is not that of the journal {beginning.origin}")
        frontier, _ = frontier.extended(b"".join(leaves), _NO_NODES)
        on_facts(frontier.size)
    return frontier


def _leaves(lines: Iterable[bytes], after: int) -> list[bytes]:
    found: list[bytes] = []
    for seq, line in enumerate(lines, after + 1):
        leaf = leaf_in(line, seq)
        if leaf is None:
            raise Tampered(seq, seq, f"the line of fact {seq} was changed, moved, added or removed")
        found.append(leaf)
    return found


def _refuse_too_old(due: Sequence[Checkpoint], after: int) -> None:
    if due and due[0].size < after:
        raise Tampered(
            due[0].size + 1,
            after,
            f"the export begins after fact {after}, and the checkpoint has {due[0].size} facts: "
            "give a later checkpoint or an export that begins earlier",
        )


def _check_origin(checkpoint: Checkpoint, beginning: Beginning) -> None:
    if checkpoint.origin != beginning.origin:
        raise Tampered(1, checkpoint.size, f"the checkpoint is of another journal: {checkpoint.origin}")
