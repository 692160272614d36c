"""Facts about receipts that are stored for idempotency keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar


@dataclass(slots=True)
class ReceiptKept:
    """The answer to an order with an idempotency key, so that the same key gets it again until `until`."""

    secret_fields: ClassVar[tuple[str, ...]] = ("fingerprint", "data")

    id: str
    fingerprint: str
    data: Mapping[str, object]
    until: float
