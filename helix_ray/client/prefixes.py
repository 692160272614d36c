"""Ids by the beginning of them: a request for an id that does not exist is sent again with the one id that
begins so.

The server knows whole ids only, so nothing is guessed where no person typed. Two kinds of text are never
completed, because another thing may bear the name a moment after the meant one is gone: an id that is whole
already, and, in what removes or replaces something, a name that people choose (projects, users, nodes).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

from helix_ray.client.errors import HelixError, NotFound
from helix_ray.client.transport import Request

MATCHES_SHOWN_MAX = 10
# As many as a person may have meant; shards of one task are listed with it.
MATCHES_LISTED = 100
# What the server makes: seed, place in a batch, shard.
_WHOLE = re.compile(r"[a-z]+-(ext_)?[0-9a-z]{20}(-\d+)?(-s\d+)?")
_SHARD = re.compile(r"-s\d+\Z")
_REPLACES = frozenset({"PUT", "DELETE"})

Read = Callable[[Request], Any]


class ListedKind(NamedTuple):
    """Where the ids of a kind are listed; `named`: by people, not by the server."""

    path: str
    entries: str
    id_field: str = "id"
    named: bool = False


KINDS: Mapping[str, ListedKind] = {
    "task": ListedKind("/tasks", "tasks"),
    "worker": ListedKind("/workers", "workers", named=True),
    "node": ListedKind("/harmony/nodes", "nodes", named=True),
    "project": ListedKind("/projects", "projects", named=True),
    "model": ListedKind("/models", "models", "name", named=True),
    "user": ListedKind("/users", "users", "username", named=True),
    "token": ListedKind("/auth/tokens", "tokens"),
    "device": ListedKind("/devices", "devices"),
    "webhook": ListedKind("/webhooks", "webhooks"),
    "erasure": ListedKind("/aurora/erasures", "erasures"),
}


def is_whole(text: str) -> bool:
    """Say whether a text has the form of a whole id that the server made."""
    return _WHOLE.fullmatch(text) is not None


def matches(kind: ListedKind, prefix: str, read: Read, id_field: str | None = None) -> list[str]:
    """Return the ids that begin with a text, without the shards of tasks."""
    params = {"id_prefix": prefix, "limit": MATCHES_LISTED} if kind.path == "/tasks" else {}
    entries = read(Request("GET", kind.path, params=params))[kind.entries]
    found = (str(entry[id_field or kind.id_field]) for entry in entries)
    return sorted(
        each for each in found if each.startswith(prefix) and ("-s" in prefix or not _SHARD.search(each))
    )


def completed(request: Request, error: NotFound, read: Read) -> Request:
    """Return the request with the one id that begins so; else raise NotFound, with `matches` if any."""
    given = error.details.get("id")
    kind = _kind_of(request, given) if isinstance(given, str) and given else None
    # A whole id is gone. After a second try, the first one may have removed it.
    if kind is None or error.attempts > 1 or is_whole(str(given)):
        raise error
    try:
        found = matches(kind, str(given), read)
    except HelixError:
        raise error from None
    if len(found) == 1 and not (kind.named and request.method in _REPLACES):
        return _with_id(request, kind, str(given), found[0])
    raise _not_one(error, found) if found else error


def full_id(kind: str, text: str, read: Read, id_field: str | None = None) -> str:
    """Return the one id of a kind that begins with a text; the text itself where it is whole or none does.
    An empty text begins every id and names none.

    Raises NotFound with `matches` where several do.
    """
    if not text or is_whole(text):
        return text
    found = matches(KINDS[kind], text, read, id_field)
    if text in found or not found:
        return text
    if len(found) == 1:
        return found[0]
    raise _not_one(NotFound("NOT_FOUND", f"{kind.capitalize()} not found", {"id": text}), found)


def _kind_of(request: Request, given: str) -> ListedKind | None:
    if isinstance(request.body, Mapping) and request.body.get("task_id") == given:
        return KINDS["task"]
    for kind in KINDS.values():
        rest = request.path.removeprefix(kind.path + "/")
        if rest != request.path and unquote(rest.split("/")[0]) == given:
            return kind
    return None


def _with_id(request: Request, kind: ListedKind, given: str, found: str) -> Request:
    if isinstance(request.body, Mapping) and request.body.get("task_id") == given:
        return replace(request, body={**request.body, "task_id": found})
    _, *rest = request.path.removeprefix(kind.path + "/").split("/")
    return replace(request, path="/".join((kind.path, quote(found, safe=""), *rest)))


def _not_one(error: NotFound, found: Iterable[str]) -> NotFound:
    ids = list(found)
    what = error.message.removesuffix(" not found")
    message = (
        f"{what} not found; {len(ids)} ids begin with {error.details['id']}"
        if len(ids) > 1
        else f"{what} not found; give the whole name where something is removed or replaced"
    )
    return NotFound(
        error.code, message, {**error.details, "matches": ids[:MATCHES_SHOWN_MAX]}, error.request_id
    )
