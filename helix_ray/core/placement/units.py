"""Devices are things, not amounts: half of one device and half of another do not make a whole one.

Ray allocates accelerators one by one: a task gets whole devices, or a fraction of one. Fractions are packed
onto the most used device that still fits them. A sum is not enough to see what is free: three tasks with 0.6
GPU each leave 2.2 of four GPUs, but only one whole GPU. Only Ray knows which fraction is on which device;
here the largest are packed first, each onto the most used device that fits it (best fit decreasing).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import floor

# What Ray counts as devices (`get_all_accelerator_resource_names` of 2.60), in our names.
UNIT_RESOURCES = frozenset(
    {"gpu", "npu", "TPU", "neuron_cores", "HPU", "FURIOSA", "RBLN", "MBLT", "TTNPU"}
)  # fmt: skip
# The capability of every node with any of these, as the API reference names it.
ACCELERATION = "ai_acceleration"
# Ray counts in ten-thousandths; a smaller amount is rejected, and further digits are cut off.
AMOUNT_MIN = 0.0001
EPSILON = 1e-6
DECIMALS = 6


def capabilities_of(resources: Mapping[str, float | bool | None]) -> set[str]:
    """Return the capabilities that follow from resources: the kinds of devices by name, and ACCELERATION."""
    kinds = {name.lower() for name, amount in resources.items() if name in UNIT_RESOURCES and amount}
    return {*kinds, ACCELERATION} if kinds else kinds


def impossible(name: str, amount: float) -> str | None:
    """Return why an amount of a resource is invalid on any node; None if it is valid."""
    if 0 < amount < AMOUNT_MIN:
        return f"it must be at least {AMOUNT_MIN}"
    if name in UNIT_RESOURCES and amount > 1 and amount != int(amount):
        return "amounts above 1 must be whole numbers"
    return None


@dataclass(frozen=True, slots=True)
class Units:
    """What is left of one kind of device: the number of `whole` ones, and `gaps`, the
    free fractions of shared ones."""

    whole: int
    gaps: tuple[float, ...] = ()

    def slots(self, amount: float) -> int:
        """Return how many tasks that ask for this amount fit."""
        if amount >= 1:
            return max(0, self.whole) // int(amount)
        shared = sum(int((gap + EPSILON) / amount) for gap in self.gaps)
        return max(0, self.whole) * int((1 + EPSILON) / amount) + shared

    def largest(self) -> float:
        """Return the largest amount that one task can get."""
        return float(self.whole) if self.whole > 0 else max(self.gaps, default=0.0)


def left_of(total: float, used: Iterable[tuple[float, int]]) -> Units:
    """Return what is left of `total` devices after uses, given as (amount, how often)."""
    whole = floor(total + EPSILON)
    shares: list[tuple[float, int]] = []
    for amount, count in used:
        # External usage comes as a sum: a number of whole devices, and a fraction of one.
        if count <= 0:
            # More tasks were ended on trial than there were slots, because short ones share a slot.
            continue
        devices = int(amount + EPSILON)
        whole -= devices * count
        if amount - devices > EPSILON:
            shares.append((amount - devices, count))
    if len(shares) == 1:
        return _alike(whole, *shares[0])
    gaps: list[float] = []
    for share in sorted((share for share, count in shares for _ in range(count)), reverse=True):
        fullest = min((gap for gap in gaps if gap + EPSILON >= share), default=None)
        if fullest is None:
            whole -= 1
            gaps.append(round(1.0 - share, DECIMALS))
        else:
            gaps[gaps.index(fullest)] = max(0.0, round(fullest - share, DECIMALS))
    return Units(whole, tuple(gap for gap in gaps if gap > EPSILON))


def _alike(whole: int, share: float, count: int) -> Units:
    """Return what is left after `count` equal fractions: the common case, computed without
    packing them one by one."""
    each = int((1.0 + EPSILON) / share)
    full, begun = divmod(count, each)
    gaps = [round(1.0 - each * share, DECIMALS)] * full
    if begun:
        gaps.append(round(1.0 - begun * share, DECIMALS))
    return Units(whole - len(gaps), tuple(gap for gap in gaps if gap > EPSILON))
