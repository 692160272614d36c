"""The random generators of a process that all of its code shares: a function that has used one leaves another
seed behind.

A seed that a function sets would make the numbers of the next one predictable, and those of ten processes
equal. Whether a generator was used is seen in its memory: 0.2 us, where `getstate` takes 7 us.
"""

from __future__ import annotations

import ctypes
import random
import sys
from typing import Any

# A generator of the standard library has its position and 624 words behind its object's header. Each number
# moves the position, and each seed and each round of 624 changes the second word.
_HEADER_BYTES = object.__basicsize__
_STATE_BYTES = 12
# struct mt19937_state of numpy: 624 words and a position.
_NUMPY_STATE_BYTES = 625 * 4


class SharedGenerators:
    """Those of `random`, and of `numpy.random` once it is imported."""

    def __init__(self) -> None:
        shared: Any = random
        self._state = id(shared._inst) + _HEADER_BYTES
        self._was = ctypes.string_at(self._state, _STATE_BYTES)
        self._was_of_numpy = _state_of_numpy()

    def reseed(self) -> None:
        """Seed those that were used since the last call from the operating system."""
        if ctypes.string_at(self._state, _STATE_BYTES) != self._was:
            random.seed()
            self._was = ctypes.string_at(self._state, _STATE_BYTES)
        if (of_numpy := _state_of_numpy()) != self._was_of_numpy:
            if of_numpy is not None:
                sys.modules["numpy.random.mtrand"].seed()
            self._was_of_numpy = _state_of_numpy()


def _state_of_numpy() -> bytes | None:
    """Return the memory of numpy's shared generator; None where it is not imported, or is another one."""
    generator: Any = getattr(sys.modules.get("numpy.random.mtrand"), "_rand", None)
    if generator is None or type(bits := generator._bit_generator).__name__ != "MT19937":
        return None
    return ctypes.string_at(bits.ctypes.state_address, _NUMPY_STATE_BYTES)
