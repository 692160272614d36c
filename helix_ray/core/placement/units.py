"""Devices are things, not amounts: half of one and half of another is no whole one.

Ray gives out accelerators one by one: a task has some of them whole, or a share of one. Several shares go to the
device that is in use most and still has room. A sum says more than that: three tasks with 0.6 GPU each leave 2.2 of
four, of which one can be had whole. Which share is on which device only Ray knows; here the largest go first, each to
the fullest device that takes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import floor

# What Ray counts in devices (`get_all_accelerator_resource_names` of 2.60), in our names.
UNIT_RESOURCES = frozenset(
    {"gpu", "npu", "TPU", "neuron_cores", "HPU", "FURIOSA", "RBLN", "MBLT", "TTNPU"}
)  # fmt: skip
# What every node with any of these can do, as the API reference has it.
ACCELERATION = "ai_acceleration"
# Ray counts in ten-thousandths; less than one of them is refused, the rest is cut off.
AMOUNT_MIN = 0.0001
EPSILON = 1e-6
DECIMALS = 6


def capabilities_of(resources: Mapping[str, float | bool | None]) -> set[str]:
    """Return what a node or worker with such resources is capable of: its kinds of devices by name, and ACCELERATION."""
    kinds = {name.lower() for name, amount in resources.items() if name in UNIT_RESOURCES and amount}
    return {*kinds, ACCELERATION} if kinds else kinds


def impossible(name: str, amount: float) -> str | None:
    """Return why nobody could ever hold such an amount of a resource; None when it is an amount."""
    if 0 < amount < AMOUNT_MIN:
        return f"it must be at least {AMOUNT_MIN}"
    if name in UNIT_RESOURCES and amount > 1 and amount != int(amount):
        return "amounts above 1 must be whole numbers"
    return None


@dataclass(frozen=True, slots=True)
class Units:
    """What is left of one kind of device: `whole` ones, and `gaps`: the free parts of those that are shared."""

    whole: int
    gaps: tuple[float, ...] = ()

    def slots(self, amount: float) -> int:
        """Return how many tasks that ask for so much of it fit."""
        if amount >= 1:
            return max(0, self.whole) // int(amount)
        shared = sum(int((gap + EPSILON) / amount) for gap in self.gaps)
        return max(0, self.whole) * int((1 + EPSILON) / amount) + shared

    def largest(self) -> float:
        """Return the most that one task can have of it."""
        return float(self.whole) if self.whole > 0 else max(self.gaps, default=0.0)


def left_of(total: float, used: Iterable[tuple[float, int]]) -> Units:
    """Return what is left of so many devices after uses of (amount, how often)."""
    whole = floor(total + EPSILON)
    shares: list[tuple[float, int]] = []
    for amount, count in used:
        # What others use comes as a sum: so many devices, and a share of one.
        if count <= 0:
            # More tasks ended on trial than there were lanes: short ones share a lane.
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
    """Return what is left after so many shares of one size, which is most of what there is: no need to try them out."""
    each = int((1.0 + EPSILON) / share)
    full, begun = divmod(count, each)
    gaps = [round(1.0 - each * share, DECIMALS)] * full
    if begun:
        gaps.append(round(1.0 - begun * share, DECIMALS))
    return Units(whole - len(gaps), tuple(gap for gap in gaps if gap > EPSILON))
