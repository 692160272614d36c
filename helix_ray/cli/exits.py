"""How the program ends: one line on standard error, and an exit code that scripts can rely on.

0  done                        5  conflict
1  the task did not succeed,   6  rate limited
   or a file cannot be used
2  usage or validation         7  the server cannot be reached, or failed
3  not signed in, forbidden    8  --wait-timeout has passed (the task continues)
4  not found
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperGroup

from helix_ray.cli.connection import forget, last_answer
from helix_ray.cli.failures import reason_of, where
from helix_ray.cli.habits import OTHER_NAMES, hint, spelled_out
from helix_ray.cli.output import say
from helix_ray.client.errors import HelixError, Unreachable
from helix_ray.core.errors import shown_details

if TYPE_CHECKING:
    from helix_ray.client.transport import Answered


class Exit(IntEnum):
    """Exit codes; stable."""

    OK = 0
    TASK_FAILED = 1
    USAGE = 2
    FORBIDDEN = 3
    NOT_FOUND = 4
    CONFLICT = 5
    RATE_LIMITED = 6
    UNAVAILABLE = 7
    TIMED_OUT = 8
    # What became of a command where it has no exit code of its own (`submit --wait`).
    TASK_LOST = 122
    TASK_CANCELLED = 123
    TASK_TIMED_OUT = 124
    INTERRUPTED = 130


EXIT_OF_CODE = {
    "VALIDATION_ERROR": Exit.USAGE,
    "PAYLOAD_TOO_LARGE": Exit.USAGE,
    "METHOD_NOT_ALLOWED": Exit.USAGE,
    "HEADERS_TOO_LARGE": Exit.USAGE,
    "REQUEST_TIMEOUT": Exit.UNAVAILABLE,
    "UNAUTHORIZED": Exit.FORBIDDEN,
    "FORBIDDEN": Exit.FORBIDDEN,
    "NOT_FOUND": Exit.NOT_FOUND,
    "CONFLICT": Exit.CONFLICT,
    "GONE": Exit.CONFLICT,
    "RATE_LIMIT_EXCEEDED": Exit.RATE_LIMITED,
    "SERVICE_UNAVAILABLE": Exit.UNAVAILABLE,
    "UNREACHABLE": Exit.UNAVAILABLE,
    "INTERNAL_ERROR": Exit.UNAVAILABLE,
    "TIMEOUT": Exit.TIMED_OUT,
}
# How an answer of another shape shows where a command reads it.
NOT_AS_READ = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError)


def line_of(error: HelixError) -> str:
    """Return the line that is printed for an error."""
    message = " ".join(error.message.split())
    if (
        error.code == "UNAUTHORIZED"
        and "helix login" not in message
        and error.details.get("reason") != "credentials"
    ):
        message += "; run: helix login"
    request = f" (request {error.request_id})" if error.request_id else ""
    return f"helix: {error.code}: {message}{shown_details(error.details)}{request}"


def unread(error: Exception, url: str, answered: Answered) -> HelixError:
    """Return what is wrong with an answer that a command stumbled over: its server is another program, or of
    a version with other answers. The place is named in case that the command is wrong."""
    if not answered.has_body:
        what = "is empty"
    elif isinstance(error, KeyError):
        what = f"has no {error.args[0]!r}"
    else:
        what = f"has a value of another type ({error})"
    message = f"what responds at {url} is not this version of Helix Ray: its answer to {answered.call} {what}"
    return Unreachable("UNREACHABLE", f"{message} (read in {where(error)})")


class CommandGroup(TyperGroup):
    """A group that also knows its commands by the names that other programs give them."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command by its name, or by another one that people try."""
        found = super().get_command(ctx, cmd_name)
        others = (super(CommandGroup, self).get_command(ctx, name) for name in OTHER_NAMES.get(cmd_name, ()))
        return found or next((command for command in others if command is not None), None)


class HelixGroup(CommandGroup):
    """A group that turns the errors of its commands into one line and an exit code."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command; exits the process unless `standalone_mode` is off."""
        words = spelled_out(sys.argv[1:] if args is None else args)
        forget()
        try:
            code = super().main(words, prog_name, complete_var, False, windows_expand_args, **extra)
        except HelixError as error:
            if not standalone_mode:
                raise
            code = _complain(line_of(error), EXIT_OF_CODE.get(error.code, Exit.UNAVAILABLE))
        except typer.TyperException as error:
            if not standalone_mode:
                raise
            complaint = " ".join(error.format_message().split()).replace("Value error, ", "")
            code = _complain(f"helix: USAGE: {complaint}{hint(words, complaint)}", Exit.USAGE)
        except OSError as error:
            if not standalone_mode:
                raise
            code = _complain(f"helix: {reason_of(error)}", Exit.TASK_FAILED)
            _drop_output()
        except typer.Abort:
            if not standalone_mode:
                raise
            code = _complain("helix: ABORTED: nothing was changed", Exit.USAGE)
        except NOT_AS_READ as error:
            answer = last_answer()
            if not standalone_mode or answer is None:
                raise
            code = _complain(line_of(unread(error, *answer)), Exit.UNAVAILABLE)
        if not standalone_mode:
            return code
        sys.exit(code if isinstance(code, int) else Exit.OK)


def _drop_output() -> None:
    """Write nothing more to standard output: what could not be written would be tried again at the end."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _complain(line: str, code: Exit) -> int:
    say(line)
    return int(code)
