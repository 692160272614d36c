"""Reads the settings from HELIX_* variables. The only module that imports pydantic-settings.

The fields, their defaults and their limits are those of helix_ray/config.py. A process that is passed its
settings does not import this module.
"""

from __future__ import annotations

import os
from dataclasses import fields
from ipaddress import ip_network
from pathlib import Path
from typing import Any, get_type_hints

from pydantic import Field, create_model, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from helix_ray.config import NUMBER_MAX, Settings, parse_node_resources
from helix_ray.core.read_classes import recorded
from helix_ray.core.thresholds import parse as parse_thresholds
from helix_ray.outward.addresses import networks_of

# OpenTelemetry's own variable, where ours is not set.
OTLP_ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


class _Variables(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="HELIX_", frozen=True, extra="ignore")

    @field_validator("*", mode="after")
    @classmethod
    def _within_reason(cls, value: Any) -> Any:
        if isinstance(value, (int, float)) and not value <= NUMBER_MAX:
            raise ValueError(f"must be at most {NUMBER_MAX}")
        return value

    @field_validator("data_dir", mode="before", check_fields=False)
    @classmethod
    def _named(cls, value: Any) -> Any:
        # An empty path means the current folder, which would be made private to the server.
        if value == "":
            raise ValueError("must name a folder")
        return value

    @field_validator("trusted_proxies", mode="after", check_fields=False)
    @classmethod
    def _proxies(cls, value: str) -> str:
        for proxy in filter(None, map(str.strip, value.split(","))):
            ip_network(proxy, strict=False)
        return value

    @field_validator("webhook_allow_networks", mode="after", check_fields=False)
    @classmethod
    def _networks(cls, value: str) -> str:
        networks_of(filter(None, map(str.strip, value.split(","))))
        return value

    @field_validator("audit_reads", mode="after", check_fields=False)
    @classmethod
    def _reads(cls, value: str) -> str:
        recorded(filter(None, map(str.strip, value.split(","))))
        return value

    @field_validator("data_dir", mode="after", check_fields=False)
    @classmethod
    def _home(cls, value: Path) -> Path:
        return value.expanduser().resolve()

    @field_validator("node_resources", "node_types", mode="after", check_fields=False)
    @classmethod
    def _resources(cls, value: str) -> str:
        if value:
            parse_node_resources(value)
        return value

    @field_validator("thresholds", mode="after", check_fields=False)
    @classmethod
    def _thresholds(cls, value: str) -> str:
        parse_thresholds(value)
        return value


def _model() -> type[_Variables]:
    hints = get_type_hints(Settings)
    made: dict[str, Any] = {
        each.name: (hints[each.name], Field(each.default, repr=each.repr, **each.metadata))
        for each in fields(Settings)
    }
    return create_model("Settings", __base__=_Variables, **made)


_MODEL = _model()


def read_settings(**given: Any) -> Settings:
    """Return the settings from arguments, variables and defaults, in this order of precedence.

    Raises pydantic's ValidationError, whose first error names the setting and says what is wrong with it.
    """
    endpoint = os.environ.get(OTLP_ENDPOINT)
    if endpoint and "HELIX_OTLP_ENDPOINT" not in os.environ:
        given.setdefault("otlp_endpoint", endpoint)
    read = _MODEL(**given)
    return Settings(**{each.name: getattr(read, each.name) for each in fields(Settings)})
