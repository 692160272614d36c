"""Calls routes that parse their own input, without FastAPI's dependency machinery.

FastAPI resolves the dependencies, query and body of each request, which costs three times as much as the
answer itself. A route does not need that if its only parameters are the caller and strings from the path, or
if its query is optional and absent. Such routes are found by the signatures of their functions. The route
table remains FastAPI's, in its order, and every other route, path and method is left to it. The edge answers
the exceptions of routes (serve_app/edge/stack.py).
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
from serve_app.edge.request_times import TEMPLATE

# A path parameter as the routes write it: a string without a slash.
_PARAMETER = re.compile(r"\{(\w+)\}")

Endpoint = Callable[..., Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class _Called:
    """A route's function, its verb, and whether it may be called only without a query."""

    endpoint: Endpoint
    verb: str
    reads_query: bool


@dataclass(frozen=True, slots=True)
class _Route:
    """A route; without a function it is FastAPI's to call."""

    path: str
    called: _Called | None


class _Table:
    """The routes of one method in FastAPI's order: the first whose path matches is called."""

    def __init__(self, routes: Iterable[_Route]) -> None:
        self.routes = tuple(routes)
        self._pattern = re.compile("|".join(f"({_pattern_of(route.path)})" for route in self.routes))
        # The number of the group of each route's path; the groups of its parameters follow it.
        self._by_group: dict[int, tuple[_Route, tuple[str, ...]]] = {}
        group = 1
        for route in self.routes:
            names = tuple(_PARAMETER.findall(route.path))
            self._by_group[group] = (route, names)
            group += 1 + len(names)

    def find(self, path: str) -> tuple[_Route, dict[str, str]] | None:
        """Return the route of a path with the path's parameters; None where there is none."""
        found = self._pattern.fullmatch(path)
        # The group that closed last is that of the matching route.
        if found is None or found.lastindex is None:
            return None
        route, names = self._by_group[found.lastindex]
        return route, {name: found[found.lastindex + i] for i, name in enumerate(names, 1)}


def _pattern_of(path: str) -> str:
    """Return the regular expression of a path, with its parameters as groups."""
    pieces = _PARAMETER.split(path)
    return "([^/]+)".join(re.escape(literal) for literal in pieces[::2])


class Direct:
    """Calls the routes that it can, and FastAPI's application for all others."""

    def __init__(self, app: FastAPI, services: Services, routers: Iterable[tuple[str, APIRouter]]) -> None:
        """`routers` are those of the application with their prefixes, in the same order."""
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
            called = None
            if found is not None:
                route, arguments = found
                called, scope[TEMPLATE] = route.called, route.path
            if called is not None and not (called.reads_query and scope["query_string"]):
                # Where FastAPI puts it: services_of looks there.
                scope["app"] = self._app
                caller = await caller_of(Request(scope, receive), self._services, called.verb)
                response = await called.endpoint(caller=caller, **arguments)
                await response(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def called(self) -> set[tuple[str, str]]:
        """Return the method and path of every route that is called directly."""
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
