"""The command line of `helix node start`, `helix node stop` and `helix node-resources`."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
import signal
import sys
from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError

from actors.devices import readings_here
from helix_ray.accelerators import nvidia
from helix_ray.environment import read_settings
from helix_ray.execution.starter.isolation import in_force
from helix_ray.execution.starter.levels import NotOffered, Wanted
from helix_ray.inference.runtime import installed_runtime
from helix_ray.private import TooWide, keep_private, narrow_below, narrow_folder
from helix_ray.security.first_password import BadPassword, first_password
from launcher.node import home, model_runtime
from launcher.node.declaration import BadDeclaration, Declaration, declare, found_as_line
from launcher.node.home import HOME
from launcher.node.patience import Limits
from launcher.node.ray_start import RayStartPlan
from launcher.node.supervisor import NodeSupervisor, say
from launcher.open_files import raise_open_files
from launcher.up import environment, password
from launcher.up.checks import CannotStart, check_plain_http
from launcher.up.detach import detached
from launcher.up.holding import this_process
from launcher.up.stopped_below import StoppedBelow

EXIT_USAGE = 2
PORT = 6379
API_PORT = 8080
STOPPED_S_MAX = 60.0
SILENT_S_MAX = 3600.0
STOP_S_MAX = 60.0
KILLED_S_MAX = 15.0
# The file that `ray get-auth-token --generate` writes.
TOKEN_FILE = Path("~/.ray/auth_token")


class NodeCannotStart(Exception):
    """The node cannot be started as requested; the message is one line for the user."""


def main(arguments: list[str] | None = None) -> int:
    """Parse and run; every error is one line on stderr and exit code 2."""
    words = sys.argv[1:] if arguments is None else arguments
    flags, more = _parser().parse_known_args(words)
    keep_private()
    try:
        if flags.verb == "resources":
            return _show(_declared(flags), as_json=flags.json)
        data_dir = (
            Path(flags.data_dir or os.environ.get("HELIX_DATA_DIR") or "~/.helix-ray").expanduser().resolve()
        )
        if flags.verb == "stop":
            return _stop(data_dir)
        settings = read_settings(admin_password=password.receive(os.environ))
        host = _api_host(flags) if flags.head else settings.host
        given = first_password(replace(settings, host=host, data_dir=data_dir))
        environment.take_secrets(os.environ)
        return _start(flags, [word for word in more if word != "--"], words, data_dir, given)
    except (NodeCannotStart, BadDeclaration, BadPassword, TooWide) as error:
        reason = str(error)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        reason = f"HELIX_{'_'.join(map(str, first['loc'])).upper()}: {first['msg']}"
    except OSError as error:
        reason = f"{error.filename}: {error.strerror}" if error.filename else str(error)
    print(f"helix node {flags.verb}: {reason}", file=sys.stderr)
    return EXIT_USAGE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="helix node", allow_abbrev=False, description="Run this machine as a node of a cluster."
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    resources = verbs.add_parser(
        "resources", help="print the options of `ray start` that describe this machine"
    )
    resources.add_argument("--json", action="store_true", help="print everything as JSON, with its source")
    start = verbs.add_parser(
        "start", help="run a node and keep it running; unknown options are passed to `ray start`"
    )
    for one in (resources, start):
        one.add_argument("--name", help="node name (default: the host name)")
        one.add_argument(
            "--capability", action="append", default=[], help="declare a capability; can be repeated"
        )
        one.add_argument(
            "--resource",
            action="append",
            default=[],
            metavar="NAME=N",
            help="declare a resource, like NPU=1; can be repeated",
        )
    _add_start_flags(start)
    stop = verbs.add_parser("stop", help="stop the node and everything started with it")
    for one in (start, stop):
        one.add_argument("--data-dir", help="data directory (~/.helix-ray) [HELIX_DATA_DIR]")
    return parser


def _add_start_flags(start: argparse.ArgumentParser) -> None:
    role = start.add_mutually_exclusive_group(required=True)
    role.add_argument("--head", action="store_true", help="start a cluster with the API on this machine")
    role.add_argument("--address", metavar="HOST:PORT", help="join the cluster of the head at this address")
    start.add_argument(
        "--node-ip", help="address of this node for the others (default: that of the default route)"
    )
    start.add_argument("--port", type=int, default=PORT, help=f"port of the head ({PORT})")
    start.add_argument("--api-host", help="address of the API (default: the node's)")
    start.add_argument(
        "--api-port",
        type=int,
        default=API_PORT,
        help=f"port of the API ({API_PORT}); the same on every node",
    )
    start.add_argument("--tls-cert", help="PEM certificate chain of the API")
    start.add_argument("--tls-key", help="PEM key of the certificate")
    start.add_argument(
        "--plain-http-on-network",
        action="store_true",
        help="the API listens without TLS: passwords and tokens cross the network in clear",
    )
    start.add_argument(
        "--autoscaling-config", help="configuration file of the cluster launcher, passed to `ray start`"
    )
    start.add_argument(
        "--head-stopped-s",
        type=float,
        default=STOPPED_S_MAX,
        help="how long to wait for a head that has stopped",
    )
    start.add_argument(
        "--head-silent-s",
        type=float,
        default=SILENT_S_MAX,
        help="how long to wait for a head that does not respond",
    )
    start.add_argument("--detach", action="store_true", help="return when it is ready")


def _declared(flags: argparse.Namespace) -> Declaration:
    settings = read_settings()
    capabilities = [*settings.capabilities(), *flags.capability]
    return declare(flags.name, capabilities, flags.resource, readings_here(settings.all_smi_url))


def _show(declared: Declaration, *, as_json: bool) -> int:
    print(f"isolation of commands: {_isolation()}", file=sys.stderr)
    gpus = [str(r.device.name) for r in declared.found if r.device.driver == nvidia.DRIVER]
    print("\n".join(model_runtime.lines(gpus, installed_runtime())), file=sys.stderr)
    if as_json:
        print(json.dumps(declared.as_json(), indent=2))
        return 0
    for reading in declared.found:
        print(found_as_line(reading), file=sys.stderr)
    for name in declared.declared:
        print(f"declared, not found: {name}", file=sys.stderr)
    print(
        " ".join(
            f"{flag.partition('=')[0]}={shlex.quote(flag.partition('=')[2])}" for flag in declared.flags()
        )
    )
    return 0


def _isolation() -> str:
    """Return what would keep commands apart on this machine, and why nothing stronger."""
    settings = read_settings()
    try:
        found = in_force(Wanted(settings.isolation, settings.run_as))
    except NotOffered as error:
        return str(error)
    return f"{found.name} ({found.why})" if found.why else found.name


# --------------------------------------------------------------------------------------------- start and stop


def _start(
    flags: argparse.Namespace, more: list[str], words: list[str], data_dir: Path, given: str | None
) -> int:
    declared = _declared(flags)
    _check_plain_http(flags)
    if "RAY_AUTH_TOKEN" not in os.environ and not _token_file().is_file():
        raise NodeCannotStart(
            f"{_token_file()} does not contain a token; create one with: ray get-auth-token --generate"
        )
    others = [word for word in words if word != "--detach"]
    known = HOME.read(data_dir)
    if known is not None and known.runs() and known.arguments == others:
        print(f"ready: already running (pid {known.pid})")
        return 0
    narrow_folder(data_dir)
    if flags.detach:
        if known is not None and known.runs():
            _stop(data_dir)
        return detached("launcher.node", others, data_dir / home.LOG_FILE, given)
    raise_open_files()
    held = HOME.lock(data_dir)
    if held is None:
        raise NodeCannotStart(
            f"a node is already running on {data_dir}; stop it with: helix node stop --data-dir {data_dir}"
        )
    HOME.write(data_dir, home.RunningNode(**this_process(), arguments=others))
    narrow_below(data_dir)
    try:
        return _supervisor(flags, declared, more, data_dir, given).run()
    finally:
        HOME.forget(data_dir, held)
        os.close(held)


def _check_plain_http(flags: argparse.Namespace) -> None:
    """Refuse a head whose API would send passwords over the network in clear, before Ray is started."""
    if not flags.head:
        return
    settings = read_settings()
    given = replace(
        settings,
        host=_api_host(flags),
        tls_cert=flags.tls_cert or settings.tls_cert,
        plain_http_on_network=flags.plain_http_on_network or settings.plain_http_on_network,
    )
    try:
        check_plain_http(given, "the API's address")
    except CannotStart as refused:
        raise NodeCannotStart(str(refused)) from None


def _api_host(flags: argparse.Namespace) -> str:
    return str(flags.api_host or flags.node_ip or _own_address())


def _supervisor(
    flags: argparse.Namespace, declared: Declaration, more: list[str], data_dir: Path, given: str | None
) -> NodeSupervisor:
    node_ip = flags.node_ip or _own_address()
    plan = RayStartPlan(
        address=flags.address,
        node_ip=node_ip,
        port=flags.port,
        api_port=flags.api_port,
        data_dir=data_dir,
        autoscaling_config=flags.autoscaling_config,
        declared=declared.flags(),
        more=more,
    )
    api = ["--host", flags.api_host or node_ip, "--port", str(flags.api_port), "--data-dir", str(data_dir)]
    for flag in ("tls_cert", "tls_key"):
        if getattr(flags, flag):
            api += [f"--{flag.replace('_', '-')}", getattr(flags, flag)]
    if flags.plain_http_on_network:
        api.append("--plain-http-on-network")
    stopped = StoppedBelow(read_settings().stopped_s_max, say, os.getpid())
    limits = Limits(flags.head_stopped_s, flags.head_silent_s)
    return NodeSupervisor(plan, limits, api, os.environ, stopped, given)


def _own_address() -> str:
    from ray.util import get_node_ip_address  # a second to import: only where it is needed

    address: str = get_node_ip_address()
    return address


def _token_file() -> Path:
    return Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or TOKEN_FILE).expanduser()


def _stop(data_dir: Path) -> int:
    state = HOME.read(data_dir) if data_dir.exists() else None
    if state is None or not state.runs():
        print(f"no node is running on {data_dir}", file=sys.stderr)
        return 0
    for number, seconds in ((signal.SIGTERM, STOP_S_MAX), (signal.SIGKILL, KILLED_S_MAX)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(state.pid, number)
        if HOME.wait_until_free(data_dir, seconds):
            return 0
    raise NodeCannotStart(f"pid {state.pid} on {data_dir} does not stop")
