"""The rules for names in all interfaces: ids, hostnames, capabilities, labels, and names of nodes.

A *word* begins with a letter or a digit and has no blank, slash or control character: it is safe in a path,
in a table on a terminal and in a log. A *term* may also have slashes, as `example.com/zone`. A worker id of
`worker-` and a node's name belongs to that node (docs/adr/0033-names-of-workers.md).
"""

from __future__ import annotations

import re
from collections.abc import Collection
from itertools import islice

WORD_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.:-]*$"
TERM_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.:/-]*$"
# A single line: without control characters, which listings would send to a terminal.
LINE_PATTERN = r"^[^\x00-\x1f\x7f]*$"
WORKER_ID_CHARS_MAX = 128
HOSTNAME_CHARS_MAX = 253  # RFC 1035, 2.3.4
WORKER_PREFIX = "worker-"
# A node's name never has an underscore.
EXTERNAL_PREFIX = "worker-ext_"

# Of names that somebody gave, as a message repeats them.
NAMES_SHOWN_MAX = 10
NAME_CHARS_SHOWN = 64

_WORD = re.compile(WORD_PATTERN.removesuffix("$") + r"\Z")
_NODE_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?")


def is_word(text: str, chars_max: int) -> bool:
    """Say whether a string is a word of at most `chars_max` characters."""
    return len(text) <= chars_max and _WORD.match(text) is not None


def is_node_name(text: str) -> bool:
    """Say whether a string is a valid name of a node."""
    return _NODE_NAME.fullmatch(text) is not None


def is_node_worker_id(worker_id: str) -> bool:
    """Say whether a worker id has the form of node workers' ids, ignoring case."""
    lower = worker_id.lower()
    return lower.startswith(WORKER_PREFIX) and is_node_name(lower.removeprefix(WORKER_PREFIX))


def external_worker_id(seed: str) -> str:
    """Return a generated id for an external worker, which no node can have."""
    return f"{EXTERNAL_PREFIX}{seed}"


def shard_id(parent_id: str, index: int) -> str:
    """Return the id of a shard's task."""
    return f"{parent_id}-s{index}"


def first_names(names: Collection[str]) -> str:
    """Return names for a message: of many the first ones, of long ones the beginning."""
    shown = [
        name if len(name) <= NAME_CHARS_SHOWN else f"{name[:NAME_CHARS_SHOWN]}..."
        for name in islice(names, NAMES_SHOWN_MAX)
    ]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")
