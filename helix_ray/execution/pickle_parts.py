"""Large pickles in parts, as Ray's object store takes them without copying: the pickle, then its buffers."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import numpy as np

Parts: TypeAlias = "list[np.ndarray[Any, np.dtype[np.uint8]]]"
Dump: TypeAlias = Callable[[Callable[[pickle.PickleBuffer], Any]], bytes]


def in_parts(dump: Dump) -> Parts:
    """Return the parts of a pickle; `dump` writes it and gives its buffers to what it is called with."""
    import numpy as np  # Here, because most processes never have large pickles.

    buffers: list[Any] = []
    pickled = dump(buffers.append)
    return [np.frombuffer(part, np.uint8) for part in (pickled, *(one.raw() for one in buffers))]


def joined(parts: Sequence[Any]) -> Any:
    """Return the value of the parts of a pickle. Its arrays can be written, as those of a small one."""
    pickled, *buffers = parts
    return pickle.loads(pickled, buffers=map(bytearray, buffers))
