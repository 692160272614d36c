"""Folds facts about receipts."""

from __future__ import annotations

from collections import OrderedDict

from helix_ray.core import events as ev
from helix_ray.core.evolve.applier import Appliers
from helix_ray.core.state import KeptReceipt, State

# How long receipts are kept for clients' keys, and for our own plane's keys (only while it may resend).
CLIENT_RECEIPTS_MAX = 200_000
INTERNAL_RECEIPTS_MAX = 10_000


def _receipt_kept(state: State, event: ev.ReceiptKept, fact: ev.Fact) -> None:
    shelf = state.receipts(event.id)
    shelf[event.id] = KeptReceipt(event.fingerprint, event.data, event.until)
    shelf.move_to_end(event.id)
    maximum = INTERNAL_RECEIPTS_MAX if shelf is state.internal_receipts else CLIENT_RECEIPTS_MAX
    _expire(shelf, fact.at, maximum)


def _expire(shelf: OrderedDict[str, KeptReceipt], at: float, maximum: int) -> None:
    while shelf:
        key, oldest = next(iter(shelf.items()))
        if oldest.until >= at and len(shelf) <= maximum:
            return
        del shelf[key]


RECEIPT_FACTS: Appliers = {ev.ReceiptKept: _receipt_kept}
