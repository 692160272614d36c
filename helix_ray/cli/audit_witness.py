"""helix audit witness: follows the checkpoints of a server from another host."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from helix_ray.cli.backup import EXIT_FAILED
from helix_ray.cli.connection import connect
from helix_ray.cli.output import put, say

if TYPE_CHECKING:
    from helix_ray.audit_export.witness import Witness

TELL_S_MAX = 10.0


def witness(
    state: Annotated[Path, typer.Option(help="Folder of the witness: what it saw, and its key.")],
    key: Annotated[list[str], typer.Option("--key", help="Verifier line of the log; can be repeated.")],
    name: Annotated[
        str | None, typer.Option(help="Name to sign under; by default that of this host.")
    ] = None,
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks.")] = 10.0,
    once: Annotated[bool, typer.Option("--once", help="Look once and end.")] = False,
    webhook: Annotated[str | None, typer.Option(help="URL to tell when the log is not consistent.")] = None,
) -> None:
    """Check that the journal only grows, and cosign its checkpoints; ends with code 1 when it does not."""
    from helix_ray.audit_export.witness import Inconsistent, Witness
    from helix_ray.client.errors import HelixError
    from helix_ray.security.keys import KeyFileUnsafe
    from helix_ray.security.notes import NoteRefused, Verifier

    try:
        made = Witness(
            state, name or f"{socket.gethostname()}/helix-witness", [Verifier.of(line) for line in key]
        )
        put(f"witness {made.verifier.line()}")
        reason = None
        while True:
            try:
                _look(made)
                reason = None
            except HelixError as error:
                if once or error.code not in ("UNREACHABLE", "SERVICE_UNAVAILABLE", "RATE_LIMIT_EXCEEDED"):
                    raise
                if error.message != reason:
                    say(f"helix audit: the log cannot be seen: {error.message}")
                reason = error.message
            if once:
                return
            time.sleep(every)
    except (Inconsistent, NoteRefused) as error:
        say(f"helix audit: INCONSISTENT: {error}")
        if webhook is not None:
            _tell(webhook, str(error))
        raise typer.Exit(EXIT_FAILED) from None
    except (OSError, KeyFileUnsafe) as error:
        say(f"helix audit: {' '.join(str(error).split())}")
        raise typer.Exit(EXIT_FAILED) from None


def _look(made: Witness) -> None:
    from helix_ray.audit_export.witness import WatchedLog

    with connect() as client:
        log = WatchedLog(client.audit_checkpoint, client.prove_consistency)
        seen = made.look(log, time.time())
    if seen.is_news:
        size, origin = seen.checkpoint.size, seen.checkpoint.origin
        put(f"facts 1 to {size} of {origin} begin with all that was seen before")


def _tell(url: str, why: str) -> None:
    import httpx

    try:
        answer = httpx.post(url, json={"event": "audit.inconsistent", "reason": why}, timeout=TELL_S_MAX)
        answer.raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        say(f"helix audit: {url} could not be told: {error}")
