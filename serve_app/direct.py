"""Routes that read everything by hand, called without the framework.

The framework solves each request's dependencies, query and body anew, which costs three times what the answer
does. A route needs none of that whose parameters are its caller and texts from its path; nor does one whose
query may be left out, when it is. Which routes those are is seen from their functions: the route table stays
the framework's, in the framework's order, and every other route, path and method is left to it. What a route
raises is the edge's to answer (serve_app/edge/stack.py).
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from serve_app.deps import VERB, Services, SignedIn, caller_of

# A parameter of a path, as the routes write them: a text without a slash.
_PARAMETER = re.compile(r"\{(\w+)\}")

Endpoint = Callable[..., Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class _Called:
    """What is called for a route, once the caller's role allows its verb; one that reads
    a query, only without one."""

    endpoint: Endpoint
    verb: str
    reads_query: bool


@dataclass(frozen=True, slots=True)
class _Route:
    """A route; one with nothing to call is the framework's."""

    path: str
    called: _Called | None


class _Table:
    """The routes of one method, in the framework's order: the first whose path fits is the one."""

    def __init__(self, routes: Iterable[_Route]) -> None:
        self.routes = tuple(routes)
        self._pattern = re.compile("|".join(f"({_pattern_of(route.path)})" for route in self.routes))
        # The number of the group round each route's path, behind which are those of its parameters.
        self._by_group: dict[int, tuple[_Route, tuple[str, ...]]] = {}
        group = 1
        for route in self.routes:
            names = tuple(_PARAMETER.findall(route.path))
            self._by_group[group] = (route, names)
            group += 1 + len(names)

    def find(self, path: str) -> tuple[_Called, dict[str, str]] | None:
        """Return what is called for a path, and the path's parameters; None where that
        is the framework's to find."""
        found = self._pattern.fullmatch(path)
        # The group that closed last is the one round the route that fits.
        if found is None or found.lastindex is None:
            return None
        route, names = self._by_group[found.lastindex]
        if route.called is None:
            return None
        return route.called, {name: found[found.lastindex + i] for i, name in enumerate(names, 1)}


def _pattern_of(path: str) -> str:
    """Return a pattern for a path with its parameters as groups."""
    pieces = _PARAMETER.split(path)
    return "([^/]+)".join(re.escape(literal) for literal in pieces[::2])


class Direct:
    """Calls what it can by itself, and the framework's application for all else."""

    def __init__(self, app: FastAPI, services: Services, routers: Iterable[tuple[str, APIRouter]]) -> None:
        """`routers` are those that the application includes, each with its prefix, in the same order."""
        self._app: ASGIApp = app
        self._services = services
        by_method: dict[str, list[_Route]] = {}
        for prefix, router in routers:
            for route in router.routes:
                if isinstance(route, APIRoute):
                    for method in route.methods or ():
                        by_method.setdefault(method, []).append(_route(prefix, route))
        self._tables = {method: _Table(routes) for method, routes in by_method.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (table := self._tables.get(scope["method"])) is not None:
            found = table.find(scope["path"])
            if found is not None and not (found[0].reads_query and scope["query_string"]):
                called, arguments = found
                # As the framework leaves it there: services are found by it.
                scope["app"] = self._app
                caller = await caller_of(Request(scope, receive), self._services, called.verb)
                response = await called.endpoint(caller=caller, **arguments)
                await response(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def called(self) -> set[tuple[str, str]]:
        """Return method and path of every route that is called directly."""
        return {
            (method, route.path)
            for method, table in self._tables.items()
            for route in table.routes
            if route.called is not None
        }


def _route(prefix: str, route: APIRoute) -> _Route:
    path = prefix + route.path
    verb = (route.openapi_extra or {}).get(VERB)
    parameters = dict(inspect.signature(route.endpoint, eval_str=True).parameters)
    caller = parameters.pop("caller", None)
    of_path = [parameters.pop(name, None) for name in _PARAMETER.findall(path)]
    plain = (
        caller is not None
        and caller.annotation == SignedIn
        and all(parameter is not None and parameter.annotation is str for parameter in of_path)
        and all(other.default is not inspect.Parameter.empty for other in parameters.values())
    )
    called = (
        _Called(route.endpoint, verb, reads_query=bool(parameters)) if verb is not None and plain else None
    )
    return _Route(path, called)
