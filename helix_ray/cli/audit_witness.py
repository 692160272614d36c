"""helix audit witness: follows the checkpoints of a server from another host."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from helix_ray.cli.audit_forward import EVERY_S_MAX, PASSING
from helix_ray.cli.backup import EXIT_FAILED
from helix_ray.cli.connection import connect
from helix_ray.cli.failures import plainly
from helix_ray.cli.habits import web_address
from helix_ray.cli.output import put, say

if TYPE_CHECKING:
    from helix_ray.audit_export.witness import Witness
    from helix_ray.client.api import Client
    from helix_ray.security.notes import Verifier
    from helix_ray.wire.audit_proofs import ConsistencyOut

TELL_S_MAX = 10.0


def witness(
    state: Annotated[Path, typer.Option(help="Folder of the witness: what it saw, and its key.")],
    key: Annotated[
        list[str],
        typer.Option("--key", help="Verifier line of the log, from `helix journal key`; can be repeated."),
    ],
    name: Annotated[
        str | None, typer.Option(help="Name to sign under; by default that of this host.")
    ] = None,
    every: Annotated[float, typer.Option(min=0.1, max=EVERY_S_MAX, help="Seconds between two looks.")] = 10.0,
    once: Annotated[bool, typer.Option("--once", help="Look once and end.")] = False,
    webhook: Annotated[str | None, typer.Option(help="URL to tell when the log is not consistent.")] = None,
) -> None:
    """Check that the journal only grows, and cosign its checkpoints; ends with code 1 when it does not."""
    from helix_ray.security.notes import Verifier

    if webhook is not None:
        web_address(webhook)

    def run() -> None:
        known = [Verifier.of(line) for line in key]
        with _alarm(webhook):
            _follow(state, name or f"{socket.gethostname()}/helix-witness", known, None if once else every)

    plainly("audit", run)


@contextmanager
def _alarm(webhook: str | None) -> Iterator[None]:
    """Say what is not consistent, and end with code 1."""
    from helix_ray.audit_export.witness import Inconsistent, StateChanged
    from helix_ray.security.notes import NoteRefused

    try:
        yield
    except (Inconsistent, NoteRefused) as error:
        # Of its own state it says nothing about the log.
        say(f"helix audit: {'' if isinstance(error, StateChanged) else 'INCONSISTENT: '}{error}")
        if webhook is not None:
            _tell(webhook, str(error))
        raise typer.Exit(EXIT_FAILED) from None


def _follow(state: Path, name: str, keys: Sequence[Verifier], every_s: float | None) -> None:
    """Look again and again; without `every_s` once."""
    from helix_ray.audit_export.witness import Witness
    from helix_ray.client.errors import HelixError

    made = Witness(state, name, keys)
    put(f"witness {made.verifier.line()}")
    reason = None
    while True:
        try:
            _look(made)
            reason = None
        except HelixError as error:
            if every_s is None or error.code not in PASSING:
                raise
            if error.message != reason:
                say(f"helix audit: the log cannot be seen: {error.message}")
            reason = error.message
        if every_s is None:
            return
        time.sleep(every_s)


def _look(made: Witness) -> None:
    from helix_ray.audit_export.witness import WatchedLog

    with connect() as client:
        seen = made.look(WatchedLog(client.audit_checkpoint, partial(_proof, client)), time.time())
    if seen.is_news:
        size, origin = seen.checkpoint.size, seen.checkpoint.origin
        put(f"facts 1 to {size} of {origin} begin with all that was seen before")


def _proof(client: Client, old: int, new: int) -> ConsistencyOut:
    """Ask for a proof. A log that refuses it has signed what it does not prove; the next start asks again."""
    from helix_ray.audit_export.witness import Inconsistent
    from helix_ray.client.errors import Conflict, CursorGone, Invalid, NotFound

    try:
        return client.prove_consistency(old, new)
    except (NotFound, Invalid, Conflict, CursorGone) as error:
        raise Inconsistent(
            f"the log does not prove that its {new} facts begin with the {old} seen before: {error}"
        ) from None


def _tell(url: str, why: str) -> None:
    import httpx

    try:
        answer = httpx.post(url, json={"event": "audit.inconsistent", "reason": why}, timeout=TELL_S_MAX)
        answer.raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        say(f"helix audit: {url} could not be told: {error}")
