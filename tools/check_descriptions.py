"""Compares what openapi.json says of each field with the answers of a running server.

    HELIX_URL=http://127.0.0.1:8080 HELIX_TOKEN=... python tools/check_descriptions.py /api/v1/aurora

It calls each GET below a path whose parameters it can take from other answers, and prints each field that is
not as described: a null or a missing value that is not said, a type, a time, a percentage, base64 or a unit.
Reads are all it does.
"""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx

ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
TYPES = {
    "string": str, "integer": int, "number": int | float, "boolean": bool, "array": list, "object": dict,
    "null": type(None),
}  # fmt: skip
# What a description claims of a value that is not null, and whether it is so.
CLAIMS: dict[str, Callable[[Any], bool]] = {
    "in iso 8601": lambda value: isinstance(value, str) and ISO.fullmatch(value) is not None,
    "in percent": lambda value: isinstance(value, int | float) and 0 <= value <= 100,
    "in base64": lambda value: not isinstance(value, str) or BASE64.fullmatch(value) is not None,
    "in seconds": lambda value: isinstance(value, int | float),
    "in mib": lambda value: isinstance(value, int | float),
    "in bytes": lambda value: isinstance(value, int | float),
}
# Lists from which the parameters of other paths are taken.
LISTS = {
    "/tasks": "tasks", "/projects": "projects", "/workers": "workers", "/users": "users",
    "/webhooks": "webhooks", "/aurora/erasures": "erasures", "/harmony/devices": "devices",
}  # fmt: skip
QUERIES = {"/proof/inclusion": "?seq=1&size=3", "/proof/consistency": "?from=1&to=3"}


class Checker:
    """Compares answers with schemas, and counts what it has seen."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._schemas: dict[str, Any] = document["components"]["schemas"]
        self.seen: Counter[str] = Counter()
        self.wrong: set[str] = set()

    def look(self, value: Any, schema: dict[str, Any], place: str) -> None:
        """Compare one value, with all that is in it."""
        fitting = [form for form in self._forms(schema) if self._fits(value, form)]
        if not fitting:
            self.wrong.add(f"{place}: {value!r:.60} has another form")
            return
        form = fitting[0]
        if isinstance(value, dict) and "properties" in form:
            self._look_at_fields(value, form)
        elif isinstance(value, dict) and isinstance(form.get("additionalProperties"), dict):
            for inner in value.values():
                self.look(inner, form["additionalProperties"], f"{place}.*")
        elif isinstance(value, list) and "items" in form:
            for inner in value:
                self.look(inner, form["items"], f"{place}[]")

    def _look_at_fields(self, value: dict[str, Any], form: dict[str, Any]) -> None:
        title, fields = form.get("title", "?"), form["properties"]
        for name in value.keys() - fields.keys():
            if not form.get("additionalProperties"):
                self.wrong.add(f"{title}.{name}: is not described")
        for name in value.keys() & fields.keys():
            self.seen[f"{title}.{name}"] += 1
            self._claim(f"{title}.{name}", fields[name].get("description", "").lower(), value[name])
            self.look(value[name], fields[name], f"{title}.{name}")

    def _claim(self, place: str, said: str, value: Any) -> None:
        if value is None:
            if "null" not in said:
                self.wrong.add(f"{place}: is null")
            return
        for one in value if isinstance(value, list) else [value]:
            for claim, holds in CLAIMS.items():
                if one is not None and claim in said and not holds(one):
                    self.wrong.add(f"{place}: {one!r:.60} is not {claim}")

    def _forms(self, schema: dict[str, Any]) -> list[dict[str, Any]]:
        if "$ref" in schema:
            return self._forms(self._schemas[schema["$ref"].rpartition("/")[2]])
        ways = schema.get("anyOf") or schema.get("oneOf")
        return [schema] if ways is None else [form for way in ways for form in self._forms(way)]

    def _fits(self, value: Any, form: dict[str, Any]) -> bool:
        kind = form.get("type")
        if kind is None:
            return True
        if isinstance(value, bool) != (kind == "boolean"):
            return False
        if isinstance(value, dict) and not {*form.get("required", ())} <= value.keys():
            return False
        return isinstance(value, TYPES[kind])


def main() -> int:
    """Check the answers below the path in the arguments; 1 where something is not as described."""
    prefix = sys.argv[1] if len(sys.argv) > 1 else "/api/v1"
    headers = {"Authorization": f"Bearer {os.environ['HELIX_TOKEN']}", "Accept": "application/json"}
    with httpx.Client(base_url=os.environ["HELIX_URL"], headers=headers, timeout=30.0) as client:
        document = client.get("/openapi.json").json()
        checker, called = Checker(document), 0
        known = {}
        for path, name in LISTS.items():
            listed = client.get(f"/api/v1{path}").json().get(name)
            if listed:
                known[f"/api/v1{path}"] = listed[0].get("username") or listed[0]["id"]
        for path, operations in document["paths"].items():
            answers = operations.get("get", {}).get("responses", {}).get("200", {}).get("content", {})
            schema = answers.get("application/json", {}).get("schema")
            base, parameter, rest = path.partition("/{")
            if schema is None or not path.startswith(prefix) or (parameter and base not in known):
                continue
            full = f"{base}/{known[base]}{rest.partition('}')[2]}" if parameter else path
            answer = client.get(full + next((q for end, q in QUERIES.items() if path.endswith(end)), ""))
            if answer.status_code == 200 and "json" in answer.headers["content-type"]:
                called += 1
                checker.look(answer.json(), schema, path)
    print(f"{called} answers, {len(checker.seen)} fields")
    print(*sorted(checker.wrong), sep="\n")
    return 1 if checker.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
