"""Writes webhook-vectors.json, which docs/webhooks.md publishes: run it as a program.

Run it when a vector is added; existing ones must not change, because receivers test themselves with them.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from helix_ray.webhooks.body import payload
from helix_ray.webhooks.canonical import canonical
from helix_ray.webhooks.signing import message_id, signed_headers

FILE = Path(__file__).with_name("webhook-vectors.json")
SECRET = "your-webhook-secret"
SIGNING_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="
AT = 1_762_513_200.0
RESULTS: dict[str, Any] = {
    "documented": {"success": True, "output": "Task completed successfully"},
    "empty": {},
    "null": None,
    "order of keys": {"b": 1, "a": 2, "\u20ac": 3, "\U0001f600": 4, "\ufb33": 5, "": 6, "1": 7},
    "escapes": 'quote " backslash \\ slash / newline \n tab \t bell \u0007 delete \u007f',
    "languages": ["Zürich", "東京", "שלום", "😀", "e\u0301"],
    "integers": [0, -1, 2**53 - 1, 2**53, -(2**53), 2**63, 2**64 - 1],
    "floats": [0.1, 1.0, -0.0, 1e-7, 1e20, 1e21, 1.5e300, 5e-324, 333333333.33333329],
    "nested": [[[[{"a": [{"b": []}]}]]]],
    "markup": "<script>&amp;</script>\u2028\u2029",
}
SCALARS: list[Any] = [
    0, 1, -1, 10**15, 2**53 - 1, 2**53, 2**64 - 1, 0.5, -0.25, 1e-6, 1e-7, 1e16, 1e21, 1e22, 123456.789, True,
    False, None, "", "a", "é", "\u20ac", "\U0001f600", "\\", '"', "\n", "\u0001",
]  # fmt: skip


def bodies() -> list[dict[str, Any]]:
    """Return whole requests."""
    made = []
    for number, (name, result) in enumerate(RESULTS.items(), 1):
        data = {"task_id": "task-456", "status": "completed", "result": result}
        parts = payload("task.completed", AT, data)
        body = parts.body(SECRET)
        message, at = message_id("webhook-123", number), int(AT) + number
        headers = signed_headers(body, message, at, SECRET, [SIGNING_SECRET])
        made.append(
            {
                "name": name,
                "secret": SECRET,
                "signing_secret": SIGNING_SECRET,
                "at": AT,
                "body": {"event": "task.completed", "data": data},
                "signed": parts.signed.decode(),
                "signature": json.loads(body)["signature"],
                "raw": body.decode(),
                "id": message,
                "timestamp": at,
                "webhook-signature": headers["webhook-signature"],
                "x-hub-signature-256": headers["X-Hub-Signature-256"],
            }
        )
    return made


def texts() -> list[dict[str, Any]]:
    """Return values with their canonical JSON; the same ones each time."""
    chance = random.Random(8785)

    def value(depth: int) -> Any:
        kind = chance.randrange(4 if depth else 2)
        if kind < 2:
            return chance.choice(SCALARS)
        if kind == 2:
            return [value(depth - 1) for _ in range(chance.randrange(4))]
        names = [name for name in SCALARS if isinstance(name, str)]
        return {chance.choice(names): value(depth - 1) for _ in range(chance.randrange(4))}

    values = [*SCALARS, *RESULTS.values(), *(value(4) for _ in range(153))]
    return [
        {"name": f"value {number}", "json": json.dumps(one), "canonical": canonical(one).decode()}
        for number, one in enumerate(values, 1)
    ]


if __name__ == "__main__":
    FILE.write_text(json.dumps({"bodies": bodies(), "canonical": texts()}, indent=1) + "\n")
