"""Gives the fields of all models in the OpenAPI document their descriptions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from serve_app.described import (
    accelerators,
    access,
    audit,
    devices,
    everywhere,
    hosts,
    models,
    placement,
    runs,
    tasks,
    webhooks,
    workers,
)

TABLES: Final[tuple[Mapping[str, Mapping[str, str]], ...]] = tuple(
    area.FIELDS
    for area in (
        access, tasks, runs, placement, workers, hosts, accelerators, models, webhooks, devices, audit,
    )
)  # fmt: skip


def own_descriptions() -> dict[tuple[str, str], str]:
    """Return the descriptions that hold for one model, by model and field."""
    return {
        (model, name): text
        for table in TABLES
        for models, fields in table.items()
        for model in models.split()
        for name, text in fields.items()
    }


def objects(value: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Iterate over the objects with fields, wherever they are: the title, and the fields by name."""
    if isinstance(value, list):
        for inner in value:
            yield from objects(inner)
    if isinstance(value, dict):
        title, fields = value.get("title"), value.get("properties")
        if isinstance(title, str) and isinstance(fields, dict):
            yield title, fields
        for inner in value.values():
            yield from objects(inner)


def describe(document: Mapping[str, Any]) -> None:
    """Set the description of every field that has one, beside a `$ref` too, as OpenAPI 3.1 allows."""
    own = own_descriptions()
    for model, fields in objects(document):
        for name, schema in fields.items():
            text = own.get((model, name)) or everywhere.FIELDS.get(name)
            if text is not None:
                schema["description"] = text
