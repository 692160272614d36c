"""The application: routes over a control plane, wrapped in the edge. It knows the
port and nothing behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol

from fastapi import FastAPI
from starlette.types import ASGIApp

import helix_ray
from helix_ray.blobs.folder import FolderBlobs
from helix_ray.blobs.places import head_store
from helix_ray.config import Settings
from helix_ray.core.limits import Allowance
from helix_ray.core.views.figures import ReplicaReport, TraceFigures
from helix_ray.plane.reads import ReadDesk
from helix_ray.ports import ControlPlane
from helix_ray.security.passwords import PasswordGate
from helix_ray.security.tokens import KeyRing, TokenIssuer
from helix_ray.tracing.configured import configured_exporter
from serve_app import openapi, problems
from serve_app.deps import Services
from serve_app.direct import Direct
from serve_app.edge import unparsed
from serve_app.edge.request_traces import RequestTraces
from serve_app.edge.stack import wrap
from serve_app.refusals import RefusalDesk
from serve_app.routes import (
    acceleration,
    audit_proofs,
    aurora,
    batch,
    datasets,
    deliveries,
    devices,
    docs,
    erasures,
    events,
    health,
    logs,
    metrics,
    models,
    mutations,
    nodes,
    open_sessions,
    placement,
    projects,
    quotas,
    sessions,
    sync,
    tasks,
    tokens,
    users,
    webhooks,
    workers,
)
from serve_app.sessions import SessionCache
from serve_app.stream_hub import Hub, StreamLimits
from serve_app.traced_plane import TracedPlane
from serve_app.worker_certificates import WorkerCertificates

if TYPE_CHECKING:
    from helix_ray.tracing.exporter import Exporter

PREFIX = "/api/v1"
BATCH_PATH = f"{PREFIX}/tasks/batch"
MODELS_PATH = f"{PREFIX}/models"
DATASETS_PATH = f"{PREFIX}/datasets"
# The busiest routes come first: paths are matched in order.
ROUTERS = (
    *((PREFIX, router) for router in (
        tasks.router, batch.router, logs.router, workers.router, nodes.router, acceleration.router,
        placement.router, aurora.router, audit_proofs.router,
        quotas.router, sessions.router, open_sessions.router, tokens.router,
        users.router, projects.router, erasures.router, models.router, datasets.router,
        sync.router, devices.router, mutations.router,
        webhooks.router,
        events.router,
        deliveries.router,
    )),
    ("", health.router),
    ("", metrics.router),
    ("", docs.router),
)  # fmt: skip
DESCRIPTION = "A secured, audited control plane for distributed AI work on a Ray cluster."


class ClosingLimiter(Protocol):
    """A Limiter of serve_app/edge/rate_limit.py that must be closed when the application ends."""

    async def take(self, key: str, policy: str) -> Allowance:
        """Count one request."""
        ...

    def peek(self, key: str, policy: str) -> Allowance:
        """Return the allowance without counting a request."""
        ...

    async def close(self) -> None:
        """Stop; safe to call twice."""
        ...


def build_app(
    control: ControlPlane,
    settings: Settings,
    keys: KeyRing,
    limiter: ClosingLimiter,
    tokens: TokenIssuer | None = None,
    sessions: SessionCache | None = None,
    exporter: Exporter | None = None,
) -> FastAPI:
    """Build the application without the edge; `tokens` and `sessions` are made unless given."""
    services = Services(
        control=control,
        settings=settings,
        tokens=tokens or TokenIssuer(keys),
        passwords=PasswordGate(),
        sessions=sessions or SessionCache(control),
        refusals=RefusalDesk(control),
        reads=ReadDesk(control, settings.recorded_reads()),
        blobs=FolderBlobs(head_store(settings)),
        hub=Hub(control, StreamLimits.of(settings)),
        secrets=(keys.secrets[keys.current], *keys.secrets.values()),
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await services.hub.close()
        await services.reads.close()
        await services.refusals.close()
        await services.sessions.close()
        await limiter.close()
        if exporter is not None:
            await exporter.close()
        services.passwords.close()

    app = FastAPI(
        title="Helix Ray",
        version=helix_ray.__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        redirect_slashes=False,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
    )
    app.state.services = services
    app.state.worker_certificates = WorkerCertificates(settings)
    for prefix, router in ROUTERS:
        app.include_router(router, prefix=prefix)
    problems.install(app)
    openapi.install(app, [router for _, router in ROUTERS])
    return app


def build_asgi(
    control: ControlPlane,
    settings: Settings,
    keys: KeyRing,
    limiter: ClosingLimiter,
    tokens: TokenIssuer | None = None,
    reporting: Callable[[Callable[[], ReplicaReport]], None] = lambda report: None,
    tracing: Callable[[TraceFigures], None] = lambda figures: None,
) -> ASGIApp:
    """Build the ASGI application that is served, with the edge; `tokens` are made from the keys unless given.
    `reporting` gets the function that tells what this replica has answered, `tracing` what it has
    exported."""
    tokens, sessions = tokens or TokenIssuer(keys), SessionCache(control)
    exporter = configured_exporter(settings, "api")
    if exporter is not None:
        control = TracedPlane(control, exporter.note)
        tracing(exporter.figures)
    unparsed.look_at(limiter)
    proxies = [proxy.strip() for proxy in settings.trusted_proxies.split(",") if proxy.strip()]
    app = build_app(control, settings, keys, limiter, tokens, sessions, exporter)
    edge = wrap(
        Direct(app, app.state.services, ROUTERS),
        limiter=limiter,
        verifier=tokens,
        api_tokens=sessions,
        trusted_proxies=proxies,
        body_bytes_max=settings.body_bytes_max,
        body_bytes_max_by_path={
            BATCH_PATH: settings.batch_body_bytes_max,
            MODELS_PATH: settings.push_body_bytes_max(),
            DATASETS_PATH: settings.dataset_bytes_max + settings.body_bytes_max,
        },
        streams_open_max=settings.streams_open_max,
        cors_origins=settings.pages(),
        traces=RequestTraces(exporter.note, settings.traces_share) if exporter is not None else None,
    )
    hub = app.state.services.hub
    reporting(lambda: {"requests": edge.times.rows(), "streams": len(hub)})
    return edge
