"""What we use of uvicorn that is not its public API: the protocol that reads HTTP with httptools, and the server's start."""

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
        "on_headers_complete": (),
        "on_body": ("body",),
        "on_message_complete": (),
        "on_response_complete": (),
        "send_400_response": ("msg",),
        "timeout_keep_alive_handler": (),
        "_should_upgrade": (),
    }.items()
)
CYCLE = Seam(
    "uvicorn",
    _PLACE,
    "RequestResponseCycle",
    attributes=("disconnected", "message_event", "response_complete", "response_started"),
)
FLOW = Seam("uvicorn", "uvicorn.protocols.http.flow_control", "FlowControl", attributes=("read_paused",))
SERVER = Seam("uvicorn", "uvicorn.server", "Server", ("config",), ("server_state", "started", "should_exit"))
STARTUP = Seam("uvicorn", "uvicorn.server", "Server.startup", ("sockets",))
SHUTDOWN = Seam("uvicorn", "uvicorn.server", "Server.shutdown", ("sockets",))

SEAMS = (PROTOCOL, *METHODS, CYCLE, FLOW, SERVER, STARTUP, SHUTDOWN)

if TYPE_CHECKING:
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol as HttpToolsProtocol
else:
    seams.check(SEAMS)
    HttpToolsProtocol = PROTOCOL.find()
