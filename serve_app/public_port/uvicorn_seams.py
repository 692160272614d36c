"""What we use of uvicorn beyond its public API: its httptools protocol, and the start of its server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors import seams
from actors.seams import Seam

_PLACE = "uvicorn.protocols.http.httptools_impl"

PROTOCOL = Seam(
    "uvicorn",
    _PLACE,
    "HttpToolsProtocol",
    ("config", "server_state", "app_state", "_loop"),
    (
        "app_state",
        "client",
        "connections",
        "cycle",
        "flow",
        "headers",
        "loop",
        "parser",
        "pipeline",
        "scope",
        "server_state",
        "transport",
    ),
)
METHODS = tuple(
    Seam("uvicorn", _PLACE, f"HttpToolsProtocol.{name}", parameters)
    for name, parameters in {
        "connection_made": ("transport",),
        "connection_lost": ("exc",),
        "data_received": ("data",),
        "pause_writing": (),
        "resume_writing": (),
        "on_message_begin": (),
        "on_url": ("url",),
        "on_header": ("name", "value"),
        "on_body": ("body",),
        "on_message_complete": (),
        "on_response_complete": (),
        "send_400_response": ("msg",),
        "timeout_keep_alive_handler": (),
        "_should_upgrade": (),
        "_start_asgi_task": ("cycle", "app"),
    }.items()
)
# The attributes of a request that uvicorn's protocol reads and sets; exchange.py has ours.
CYCLE = Seam(
    "uvicorn",
    _PLACE,
    "RequestResponseCycle",
    attributes=("body", "disconnected", "keep_alive", "message_event", "more_body", "response_complete"),
)
FLOW = Seam(
    "uvicorn",
    "uvicorn.protocols.http.flow_control",
    "FlowControl",
    attributes=("read_paused", "write_paused"),
)
FLOW_METHODS = tuple(
    Seam("uvicorn", "uvicorn.protocols.http.flow_control", f"FlowControl.{name}", ())
    for name in ("drain", "pause_reading", "resume_reading")
)
SERVER = Seam("uvicorn", "uvicorn.server", "Server", ("config",), ("server_state", "started", "should_exit"))
STARTUP = Seam("uvicorn", "uvicorn.server", "Server.startup", ("sockets",))
SHUTDOWN = Seam("uvicorn", "uvicorn.server", "Server.shutdown", ("sockets",))

SEAMS = (PROTOCOL, *METHODS, CYCLE, FLOW, *FLOW_METHODS, SERVER, STARTUP, SHUTDOWN)

if TYPE_CHECKING:
    from uvicorn.protocols.http.flow_control import FlowControl as FlowControl
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol as HttpToolsProtocol
else:
    seams.check(SEAMS)
    FlowControl = FLOW.find()
    HttpToolsProtocol = PROTOCOL.find()
