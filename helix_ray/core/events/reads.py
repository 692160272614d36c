"""Facts about reads of sensitive data."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class DataRead:
    """The fact's author read things of one class (core/read_classes.py) `count` times within about a second.

    `id` is the class, `ids` are the things that were read, each once, and `asked` is what a search of the
    audit looked for. With `gap`, these reads were counted for want of memory: of which things, and by whom,
    is not known.
    """

    id: str
    count: int = 1
    ids: list[str] = field(default_factory=list)
    asked: str = ""
    gap: bool = False
