"""Checks that a Grafana dashboard is one in the schema that Grafana publishes.

    pip install grafana-foundation-sdk
    python tools/check_dashboard.py deploy/grafana-dashboard.json

The file is read into the classes of Grafana's SDK, which are made from its schema, and written again: what is
lost or changed on the way is not in the schema.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard


def differences(given: Any, found: Any, place: str = "") -> Iterator[str]:
    """Yield where a value of the file is not in what was read."""
    if isinstance(given, dict) and isinstance(found, dict):
        for name, value in given.items():
            yield from differences(value, found.get(name), f"{place}/{name}")
    elif isinstance(given, list) and isinstance(found, list) and len(given) == len(found):
        for number, (one, other) in enumerate(zip(given, found, strict=True)):
            yield from differences(one, other, f"{place}/{number}")
    elif given != found:
        yield f"{place}: {found!r} instead of {given!r}"


def main() -> int:
    """Print what is not in the schema."""
    register_default_plugins()
    given = json.loads(Path(sys.argv[1]).read_text())
    found = json.loads(JSONEncoder().encode(Dashboard.from_json(given)))
    wrong = list(differences(given, found))
    print("\n".join(wrong) or f"{sys.argv[1]}: {len(given['panels'])} panels, all in the schema")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
