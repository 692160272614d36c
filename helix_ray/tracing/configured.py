"""The exporter that the settings ask for; loads protobuf only where they do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from helix_ray.config import Settings

if TYPE_CHECKING:
    from helix_ray.tracing.exporter import Exporter


def configured_exporter(settings: Settings, process: str) -> Exporter | None:
    """Return what sends the spans of a process to the collector; None where none is configured."""
    if not settings.otlp_endpoint:
        return None
    from helix_ray.tracing.exporter import Collector, Exporter

    return Exporter(Collector(settings.otlp_endpoint, settings.otlp_headers_file), process)
