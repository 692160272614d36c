"""The session: everything that needs Ray, in one process. The keeper starts it and ends its descendants."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import gc
import http.client
import json
import os
import signal
import ssl
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from actors.seams import SeamMoved
from helix_ray.config import Settings, parse_node_resources
from helix_ray.environment import read_settings
from launcher.up import data_dir as home
from launcher.up import deploying, environment, password
from launcher.up.beside import Beside
from launcher.up.keeper import STOP_SIGNAL
from launcher.up.nodes import plan
from launcher.up.saying import announce, say
from launcher.up.stopped_below import StoppedBelow

if TYPE_CHECKING:
    from actors.waiting import Waiting

FAILURE_FILE = "up-failure.log"
# A reason that a restart cannot mend; launcher/node/supervisor.py reads it before it restarts the server.
FATAL_FILE = "up-fatal.log"
READY_PATH = "/readyz"
READY_EVERY_S = 0.05
# How often a step that is still waiting is named in the log.
SAY_EVERY_S = 5.0
REASON_BYTES_MAX = 65_536
WATCH_EVERY_S = 1.0
GC_THRESHOLD = 50_000
EXIT_CANNOT_START = 2
EXIT_CLUSTER_LOST = 1
EXIT_FATAL = 1


class Stop(BaseException):
    """The keeper asks for an orderly shutdown."""


class Failed(Exception):
    """The server cannot be started; the message is one line for the user."""


class ClusterEnded(Exception):
    """The server cannot recover; the message is one line for the user."""


def main() -> int:
    """Run one session until told to stop; return the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--temp-dir", type=Path, required=True)
    parser.add_argument("--app", default="")
    parser.add_argument(
        "--sweep", action="store_true", help="only take out of a joined cluster what was left there"
    )
    arguments = parser.parse_args()
    settings = read_settings(admin_password=password.receive(os.environ))
    for number in (signal.SIGTERM, STOP_SIGNAL):
        signal.signal(number, _stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        if arguments.sweep:
            return _sweep(arguments.app)
        # Ray prints messages about its processes; with --detach nobody reads standard output after the start.
        sys.stdout = sys.stderr
        return _run(settings, arguments.app, arguments.temp_dir)
    except Stop:
        return 0
    except Failed as failure:
        say(str(failure))
    except SeamMoved as moved:
        say(f"cannot start: {moved}")
    except ClusterEnded as ended:
        say(f"it cannot continue: {ended}")
        with contextlib.suppress(OSError):
            (settings.data_dir / FATAL_FILE).write_text(f"{ended}\n")
        return EXIT_FATAL
    except Exception as error:
        record = settings.data_dir / FAILURE_FILE
        with contextlib.suppress(OSError):
            record.write_text(traceback.format_exc())
        # The last line of a Ray error is its cause; the first lines only say where it was raised.
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        said = f"{type(error).__name__}: {lines[0] if lines else ''}"
        say(f"cannot start: {lines[-1] if len(lines) > 1 else said} (details: {record})")
    return EXIT_CANNOT_START


def _stop(number: int, frame: FrameType | None) -> None:
    for other in (signal.SIGTERM, STOP_SIGNAL):
        signal.signal(other, signal.SIG_IGN)
    # Ray's library prints what becomes of each process that ends now, as if it were an accident.
    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115  # until this process ends
    raise Stop


def _run(settings: Settings, app: str, temp_dir: Path) -> int:
    cluster_address = os.environ.get("RAY_ADDRESS")
    if cluster_address:
        deploying.check_seams()
        return _run_joined(settings, app, cluster_address)
    return _run_local(settings, app, temp_dir)


def _run_local(settings: Settings, app: str, temp_dir: Path) -> int:
    given = parse_node_resources(settings.node_resources) if settings.node_resources else []
    say(f"starting {settings.nodes} Ray node{'s' if settings.nodes > 1 else ''}")
    child = deploying.Deploying(app)
    from actors import ray_seams, seams, worker_seams

    worker_seams.load("ray")
    # All that is imported stays: looking through it for garbage again and again takes a tenth of the import.
    gc.set_threshold(GC_THRESHOLD)
    from actors.devices import readings_here
    from launcher.up.cluster import LocalCluster

    seams.check(ray_seams.SEAMS)
    readings = readings_here(settings.all_smi_url)
    cluster = LocalCluster(plan(settings.nodes, given, readings, settings.capabilities()), temp_dir)
    # Ray's processes and the modules that follow both take time to load: they do so side by side.
    Beside(_load)
    address = cluster.start()
    # Workers of a killed template go to the keeper, which adopts orphans.
    stopped = StoppedBelow(settings.stopped_s_max, say, os.getppid())

    def goes_on() -> bool:
        stopped.look(time.monotonic())
        return cluster.tend(say)

    try:
        child.loaded()
        deploy = partial(child.deploy, address, settings)
        look = _start(settings, app, address, deploy, nodes_come=cluster.wait_for_all)
        _watch(look, goes_on)
        say("it cannot continue: the head's Ray node has exited")
        return EXIT_CLUSTER_LOST
    finally:
        # Without the head no orderly shutdown is possible: the keeper kills what is left.
        if cluster.head_lives():
            _end(app)


def _run_joined(settings: Settings, app: str, address: str) -> int:
    say(f"joining the Ray cluster at {address}")
    from actors import names
    from launcher.up import cluster
    from serve_app import deployment

    cluster.connect(address, environment.joined(os.environ))
    if deployment.running():
        raise Failed(
            f"Ray Serve is already running on {address}; add the API to it with: serve run "
            "serve_app.deployment:app"
        )
    with contextlib.suppress(ValueError):
        names.find(names.MASTER)
        raise Failed(f"Helix Ray is already running on {address}")
    try:
        factory = deployment.load_factory(app) if app else deployment.control_plane_app
        deploy = partial(deployment.deploy, settings, factory)
        _watch(_start(settings, app, address, deploy, all_nodes=False), lambda: True)
        return EXIT_CLUSTER_LOST
    finally:
        _end(app, withdraw=deployment.withdraw)


def _watch(look: Callable[[], None], goes_on: Callable[[], bool]) -> None:
    """Call `look` every second in a thread, since it hangs without Ray's head, for as long as `goes_on`."""
    looking = Beside(look)
    while goes_on():
        if looking.wait(WATCH_EVERY_S):
            looking.result()
            threading.Event().wait(WATCH_EVERY_S)
            looking = Beside(look)


def _sweep(app: str) -> int:
    from launcher.up import cluster
    from serve_app import deployment

    cluster.connect(os.environ["RAY_ADDRESS"])
    _end(app, withdraw=deployment.withdraw)
    return 0


def _load() -> None:
    """Import the modules that are slow to load and needed next."""
    for module in (
        "actors.boot",
        "actors.master",
        "actors.supervisor",
    ):
        import_module(module)


def _do_nothing() -> None:
    """Do nothing, where there are no further nodes to wait for or nothing to withdraw."""


def _start(
    settings: Settings,
    app: str,
    ray_address: str,
    deploy: Callable[[], None],
    *,
    all_nodes: bool = True,
    nodes_come: Callable[[], None] = _do_nothing,
) -> Callable[[], None]:
    """Start the actors and the API, wait until requests are served, and report it; return the check to run
    every second.

    Both start side by side: a replica serves as soon as the master answers.
    """
    from actors.waiting import Waiting

    (settings.data_dir / FATAL_FILE).unlink(missing_ok=True)
    look, waiting = _nothing_to_see, Waiting(say)
    say("starting the API" if app else "starting the control plane and the API")
    api = Beside(deploy)
    if app:
        nodes_come()
    else:
        from actors import boot

        with _fatal_ends():
            password = boot.start(settings, all_nodes=all_nodes, waiting=waiting, nodes_come=nodes_come)
        look = _fatal_ends()(boot.Watch(settings).look)
        if password is not None:
            announce(f"administrator: admin, password: {password} (shown only once)")
    api.result(SAY_EVERY_S, partial(say, "waiting for Serve to start the API's replica"))
    _wait_until_ready(settings, waiting)
    url = f"{'https' if settings.tls_cert else 'http'}://{_bracketed(settings.host)}:{settings.port}"
    state = home.ours(settings.data_dir, os.environ[environment.MARKER])
    if state is not None:
        home.DATA_DIR.write(settings.data_dir, dataclasses.replace(state, url=url, ray_address=ray_address))
    announce(f"ready {url}")
    return look


def _nothing_to_see() -> None:
    """Check nothing: the application has no actors of ours."""


@contextlib.contextmanager
def _fatal_ends() -> Iterator[None]:
    """Turn a fatal reason of an actor into the end of this session."""
    from actors.life import Fatal

    try:
        yield
    except Fatal as fatal:
        raise ClusterEnded(" ".join(str(fatal).split())) from fatal


def _end(app: str, withdraw: Callable[[], None] = _do_nothing) -> None:
    """Shut down the actors and the API; the keeper kills what does not stop.

    In our own cluster the front has withdrawn the API already, and Serve ends with the cluster.
    """
    say("stopping")
    withdrawn = Beside(withdraw)
    withdrawn.wait()
    if not app:
        from actors import boot

        with contextlib.suppress(Exception):  # may not have been started, or may be what failed
            boot.stop()


def _wait_until_ready(settings: Settings, waiting: Waiting) -> None:
    waiting.begin()
    while (missing := _not_ready(settings)) is not None:
        try:
            waiting.hear(missing)
        except TimeoutError as silence:
            raise Failed(f"the API did not become ready: {silence}") from silence
        threading.Event().wait(READY_EVERY_S)


def _not_ready(settings: Settings) -> dict[str, str] | None:
    """Return what is not ready and why; None when requests are served."""
    from actors.life import NO_ANSWER

    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)
    connection: http.client.HTTPConnection
    if settings.tls_cert:
        # Our own process, reached by its address: there is no host name to verify.
        context = ssl._create_unverified_context()  # noqa: S323
        connection = http.client.HTTPSConnection(host, settings.port, timeout=5, context=context)
    else:
        connection = http.client.HTTPConnection(host, settings.port, timeout=5)
    try:
        connection.request("GET", READY_PATH)
        answer = connection.getresponse()
        body = answer.read(REASON_BYTES_MAX)
    except (OSError, http.client.HTTPException):
        return {f"the API at {settings.host}:{settings.port}": NO_ANSWER}
    else:
        return None if answer.status == 200 else _reasons(body)
    finally:
        connection.close()


def _reasons(body: bytes) -> dict[str, str]:
    """Return the reasons that /readyz gives; empty where its answer cannot be parsed."""
    try:
        return dict(json.loads(body)["error"]["details"]["missing"])
    except (ValueError, LookupError, TypeError):
        return {}


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


if __name__ == "__main__":
    sys.exit(main())
