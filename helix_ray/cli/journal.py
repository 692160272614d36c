"""helix journal verify, checkpoint, key, rotate-key, plain-env: they work on this data directory."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from helix_ray.cli.backup import SAY_EVERY_S, home_of
from helix_ray.cli.failures import plainly
from helix_ray.cli.output import put, say
from helix_ray.cli.up import DataDir

T = TypeVar("T")

app = typer.Typer(no_args_is_help=False, help="Verify the journal, and print signed checkpoints of it.")
INTERNAL_ONLY = (
    "compared with itself and HEAD only: anyone with the keys can forge both; "
    "keep a checkpoint elsewhere and give it with --checkpoint"
)
OWN_KEY = "the key is of the same directory: give the one that you kept with --key"


@app.command()
def verify(
    checkpoint: Annotated[
        Path | None, typer.Option(help="Checkpoint that was kept elsewhere; - reads standard input.")
    ] = None,
    key: Annotated[
        list[str] | None, typer.Option("--key", help="Verifier line of who signed it; can be repeated.")
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Check every fact, while the server runs or not, and compare with a checkpoint."""
    from helix_ray.checkpoints import verify as check
    from helix_ray.security.notes import Verifier

    home = home_of(data_dir)

    def run() -> None:
        note = None if checkpoint is None else _read(checkpoint)
        found = check(home, note, [Verifier.of(line) for line in key or ()], progress())
        put(f"verified {home}: facts 1 to {found.size}")
        if found.checkpoint is None or found.signer is None:
            say(f"helix journal: {INTERNAL_ONLY}")
            return
        signed = f"{found.signer.name}, key {found.signer.key_hash.hex()}"
        put(f"facts 1 to {found.checkpoint.size} are those of the checkpoint of {signed}")
        if not key:
            say(f"helix journal: {OWN_KEY}")

    _plainly(run)


@app.command()
def checkpoint(data_dir: DataDir = None) -> None:
    """Print the newest checkpoint, which is at most a second behind: size and root of the tree, signed."""
    from helix_ray.checkpoints import newest

    put(_plainly(lambda: newest(home_of(data_dir))), end="")


@app.command("key")
def show_key(data_dir: DataDir = None) -> None:
    """Print the verifier lines of all keys that signed checkpoints, the present one last."""
    from helix_ray.checkpoints import keys_so_far

    for verifier in _plainly(lambda: keys_so_far(home_of(data_dir))):
        put(verifier.line())


@app.command()
def rotate_key(data_dir: DataDir = None) -> None:
    """Replace the key that signs checkpoints; the running server uses it from its next one on."""
    from helix_ray.checkpoints import rotate

    home = home_of(data_dir)
    _plainly(lambda: rotate(home))
    say(f"replaced the key in {home}; the next checkpoint is signed with another")


@app.command("plain-env")
def plain_env(data_dir: DataDir = None) -> None:
    """Print the ids of tasks whose env an earlier release wrote in plain text; `helix erase` removes them."""
    from helix_ray.checkpoints import with_journal
    from helix_ray.journal.plain_env import tasks_with_plain_env

    home = home_of(data_dir)
    found = _plainly(lambda: list(tasks_with_plain_env(with_journal(home))))
    for task_id in found:
        put(task_id)
    say(f"helix journal: {len(found)} tasks have values of env in plain text")


def _read(path: Path) -> str:
    from helix_ray.security.notes import text_in

    return sys.stdin.read() if str(path) == "-" else text_in(path)


def progress(command: str = "journal", done: str = "checked") -> Callable[[int], None]:
    """Return what says every SAY_EVERY_S up to which fact it has come."""
    said = time.monotonic()

    def say_it(seq: int) -> None:
        nonlocal said
        if time.monotonic() - said >= SAY_EVERY_S:
            said = time.monotonic()
            say(f"helix {command}: {done} up to fact {seq}")

    return say_it


def _plainly(work: Callable[[], T]) -> T:
    from helix_ray.private import keep_private

    keep_private()
    return plainly("journal", work)
