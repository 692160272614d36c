"""Words that people bring from other programs: other names of commands and options, durations and sizes."""

from __future__ import annotations

import re
from collections.abc import Sequence

import typer

# What `helix WORD` means; `-` keeps the place of the words that follow.
SHORT = {
    "status": ("cluster",),
    "ps": ("task", "list"),
    "logs": ("task", "logs"),
    "submit": ("task", "submit"),
    "version": ("--version",),
}
# Other names of the commands of each group.
OTHER_NAMES = {
    "ls": ("list", "nodes"),
    "rm": ("delete", "revoke", "remove"),
    "delete": ("rm", "revoke", "remove"),
    "stop": ("cancel",),
    "kill": ("cancel",),
    "describe": ("get", "show", "node"),
    "inspect": ("get", "show", "node"),
    "show": ("get", "node"),
    "get": ("show", "node"),
}
# Names of this machine, beside 127.*; a client that is told 0.0.0.0 reaches it, too.
HERE = ("localhost", "0.0.0.0")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
TYPED_CHARS_SHOWN = 40
# A thousand years.
DURATION_DAYS_MAX = 365_000
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT])i?B?", re.IGNORECASE)
_MIB = {"K": 1 / 1024, "M": 1.0, "G": 1024.0, "T": 1024.0 * 1024.0}


def spelled_out(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with `-o json` as --json, and the short commands as the long ones."""
    words = list(arguments)
    if words and words[0] in SHORT:
        words[:1] = SHORT[words[0]]
    end = words.index("--") if "--" in words else len(words)
    words_read: list[str] = []
    place = 0
    while place < end:
        if words[place] == "-o" and words[place + 1 : place + 2] == ["json"] and place + 1 < end:
            words_read.append("--json")
            place += 2
        else:
            words_read.append("--json" if words[place] in ("-ojson", "-o=json") else words[place])
            place += 1
    return words_read + words[end:]


def hint(words: Sequence[str], complaint: str) -> str:
    """Return what to do instead of what was typed; empty where nothing is known."""
    if complaint.startswith("No such option: --url"):
        return "; the server is that of: helix login --url URL (or of HELIX_URL, with HELIX_TOKEN)"
    begins_with_program = tuple(words[:2]) == SHORT["submit"] and not "".join(words[2:3]).startswith("-")
    if begins_with_program and complaint.startswith("No such option"):
        return "; a program and its arguments come behind --: helix submit -- ls -l"
    return ""


def seconds(text: str) -> float:
    """Return the seconds of `90`, `90s`, `5m`, `1.5h`, `2d`; raises BadParameter."""
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise typer.BadParameter(
            f"{shortened(text)} must be a number of seconds, or one followed by s, m, h or d: 5m"
        )
    duration_s = float(found[1]) * _SECONDS[found[2] or "s"]
    if duration_s > DURATION_DAYS_MAX * _SECONDS["d"]:
        raise typer.BadParameter(f"{shortened(text)} is too long: it must be at most {DURATION_DAYS_MAX}d")
    return duration_s


def shortened(text: str) -> str:
    """Return a text as a message repeats it."""
    return repr(text if len(text) <= TYPED_CHARS_SHOWN else f"{text[:TYPED_CHARS_SHOWN]}...")


def moment(text: str | None, now: float) -> float | None:
    """Return the epoch seconds of an ISO 8601 time, or of so long ago: 30m; raises BadParameter."""
    from helix_ray.wire.times import epoch_of

    if text is None:
        return None
    try:
        return epoch_of(text)
    except ValueError:
        pass
    if _DURATION.fullmatch(text.strip()) is None:
        raise typer.BadParameter(
            f"{shortened(text)} must be a time such as 2025-11-07T10:00:00Z, or how long ago: 30m, 1h, 7d"
        )
    then = now - seconds(text)
    if then < 0:
        raise typer.BadParameter(f"{shortened(text)} ago is before 1970: no record is that old")
    return then


def web_address(text: str) -> str:
    """Return a URL that requests can be sent to; raises BadParameter."""
    import httpx

    try:
        host = httpx.URL(text).host
    except httpx.InvalidURL as error:
        raise typer.BadParameter(f"{text!r} is not a valid URL: {error}") from None
    if not text.startswith(("http://", "https://")) or not host:
        raise typer.BadParameter("the URL must begin with http:// or https:// and name a host")
    return text


def mebibytes(text: str) -> float | None:
    """Return the MiB of `512M`, `1G`, `1GiB`; None for anything else, as for a plain number."""
    found = _SIZE.fullmatch(text)
    return None if found is None else float(found[1]) * _MIB[found[2].upper()]


def address(text: str) -> str:
    """Return an address of the API with a scheme: http on this machine, elsewhere https, for the password."""
    text = text.strip()
    if "://" in text:
        return text
    host = text.split("/")[0].rpartition(":")[0] or text.split("/")[0]
    scheme = "http" if host in HERE or host.startswith(("127.", "[::1]")) else "https"
    return f"{scheme}://{text}"
