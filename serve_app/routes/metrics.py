"""`/metrics` for Prometheus, for callers on this machine and for who has a session."""

from __future__ import annotations

from fastapi import APIRouter
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from helix_ray.core.networks import is_this_machine
from helix_ray.core.questions import Metrics
from serve_app.deps import address_of, ask_within, services_of, signed_in
from serve_app.metric_families import Families
from serve_app.openapi import public

METRICS_S_MAX = 2.0
# What proxies add to a request that they pass on.
FORWARDED = frozenset({b"forwarded", b"x-forwarded-for", b"x-real-ip", b"via"})

router = APIRouter(tags=["health"])


@router.get("/metrics", response_class=PlainTextResponse, **public())
async def metrics(request: Request) -> Response:
    """Return the metrics. Beyond the loopback they need a session, unless HELIX_METRICS_OPEN is on."""
    services = services_of(request)
    if not services.settings.metrics_open and not _is_from_here(request):
        await signed_in(request)
    figures = await ask_within(services.control, Metrics(), METRICS_S_MAX)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Families(figures))
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


def _is_from_here(request: Request) -> bool:
    """Say whether a program on this machine asks for itself: a proxy here asks for others, named or not."""
    is_forwarded = any(name in FORWARDED for name, _ in request.scope["headers"])
    return is_this_machine(address_of(request)) and not is_forwarded
