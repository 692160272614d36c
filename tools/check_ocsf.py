"""Checks events of `helix audit export --format ocsf` against the schema of OCSF.

    git clone -b 1.3.0 https://github.com/ocsf/ocsf-schema
    python tools/check_ocsf.py ocsf-schema day.jsonl

Attributes that the schema does not have, that it requires and that are missing, or that are null, values that
are not of its types or enumerations, and constraints (at_least_one).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CLASSES = {3002: "authentication", 6003: "api_activity"}
# Values of the basic types, as JSON.
KINDS = {"integer_t": int, "long_t": int, "timestamp_t": int, "boolean_t": bool, "float_t": float}


class Schema:
    """The schema in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._dictionary = json.loads((folder / "dictionary.json").read_text())["attributes"]
        self._found = {}
        for path in [*folder.glob("events/**/*.json"), *folder.glob("objects/*.json")]:
            entry = json.loads(path.read_text())
            self._found[entry.get("name", path.stem)] = entry

    def of(self, name: str) -> tuple[dict[str, Any], list[str]]:
        """Return the attributes of a class or object with what it extends, and of which one must be there."""
        entry = self._found[name]
        attributes: dict[str, Any] = {}
        constraints = entry.get("constraints", {}).get("at_least_one", [])
        if "extends" in entry:
            attributes, inherited = self.of(entry["extends"])
            constraints = constraints or inherited
        for part in entry["attributes"].get("$include", []):
            for attribute, rule in json.loads((self._folder / part).read_text())["attributes"].items():
                # What only a profile requires is required of events that name it: ours name none.
                attributes[attribute] = {**rule, "profile": part if part.startswith("profiles/") else None}
        for attribute, rule in entry["attributes"].items():
            if attribute != "$include":
                attributes[attribute] = {**attributes.get(attribute, {}), **(rule or {})}
        return attributes, constraints

    def faults(self, name: str, value: dict[str, Any], at: str = "") -> Iterator[str]:
        """Give what is wrong with an object."""
        attributes, constraints = self.of(name)
        for attribute, rule in attributes.items():
            if rule.get("requirement") == "required" and not rule.get("profile") and attribute not in value:
                yield f"{at}{attribute} is required"
        if constraints and not set(constraints) & set(value):
            yield f"{at or 'event'}: one of {', '.join(constraints)} is required"
        for attribute, item in value.items():
            if attribute not in attributes:
                yield f"{at}{attribute} is no attribute of {name}"
                continue
            yield from self._faults_of(attribute, attributes[attribute], item, at)

    def _faults_of(self, attribute: str, rule: dict[str, Any], item: Any, at: str) -> Iterator[str]:
        known = self._dictionary[attribute]
        kind, place = known["type"], f"{at}{attribute}"
        if known.get("is_array") != (True if isinstance(item, list) else None):
            yield f"{place} must {'' if known.get('is_array') else 'not '}be an array"
            return
        for each in item if isinstance(item, list) else [item]:
            if kind in self._found and kind != "object":
                yield from self.faults(kind, each, f"{place}.")
            elif kind != "object" and not isinstance(each, KINDS.get(kind, str)):
                yield f"{place} must be {kind}, not {each!r}"
            enum = {**known.get("enum", {}), **rule.get("enum", {})}
            if enum and attribute not in ("class_uid", "category_uid") and str(each) not in enum:
                yield f"{place}: {each} is not one of {', '.join(enum)}"


def main() -> int:
    """Check a file; 1 if anything is wrong."""
    schema, wrong, count = Schema(Path(sys.argv[1])), 0, 0
    for line in Path(sys.argv[2]).read_text().splitlines():
        event, count = json.loads(line), count + 1
        for fault in schema.faults(CLASSES[event["class_uid"]], event):
            wrong += 1
            print(f"{event['metadata']['uid']}: {fault}")
    print(f"{count} events, {wrong} faults")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
