"""Keeps one node up until it is told to stop, or until its cluster has ended."""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import time
from collections.abc import Mapping
from types import FrameType

from launcher.node import ray_start
from launcher.node.api_process import ApiProcess, sweep
from launcher.node.patience import Advice, Head, Limits, Patience
from launcher.node.ray_process import RayProcess
from launcher.node.ray_start import RayStartPlan
from launcher.up import process_tree
from launcher.up.session import EXIT_FATAL, FATAL_FILE
from launcher.up.stopped_below import StoppedBelow

LOOK_EVERY_S = 1.0
CONNECT_S_MAX = 2.0
# Pauses between starts: a node that cannot start must not use up the machine's CPU time.
AGAIN_S_MIN = 1.0
AGAIN_S_MAX = 30.0
# After this time without a failure, the pauses begin with the shortest again.
STEADY_S = 60.0
HEAD_START_S_MAX = 120.0
HEAD_VITAL = frozenset({"gcs_server", "raylet"})
WORKER_VITAL = frozenset({"raylet"})
EXIT_GAVE_UP = 1
# A node that was never up gives up after this many starts; one that was up is restarted for ever.
FIRST_STARTS_MAX = 3
RAY_LOG = "node-ray.log"
TAIL_BYTES = 4000


class NodeSupervisor:
    """Runs in the process that made it; `run` returns the exit code. `given` is the
    administrator's password, for the API."""

    def __init__(
        self,
        plan: RayStartPlan,
        limits: Limits,
        api_flags: list[str],
        inherited: Mapping[str, str],
        stopped: StoppedBelow,
        given: str | None = None,
    ) -> None:
        self._plan = plan
        self._patience = Patience(limits)
        self._api_flags = api_flags
        self._stopped = stopped
        self._given = given
        self._environment = ray_start.below(plan, inherited)
        self._api_environment = {**inherited, **self._environment, "RAY_ADDRESS": plan.head_address}
        self._ray: RayProcess | None = None
        self._api: ApiProcess | None = None
        self._started_at = 0.0
        self._starts = 0
        self._again_s = AGAIN_S_MIN
        self._was_ready = False
        self._stop_requested = False

    def run(self) -> int:
        """Run until a signal (SIGTERM, SIGINT, SIGHUP), `ray stop`, or the end of patience with the head."""
        wake_up = self._listen()
        process_tree.adopt_orphans()
        try:
            while True:
                code = self._look(time.monotonic())
                if code is not None:
                    return code
                if select.select([wake_up], [], [], LOOK_EVERY_S)[0]:
                    os.read(wake_up, 4096)
        finally:
            self._end_in_order()

    def _listen(self) -> int:
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            # `nohup` has a program ignore SIGHUP, so that it outlives its terminal.
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._request_stop)
        return reading

    def _request_stop(self, number: int, frame: FrameType | None) -> None:
        self._stop_requested = True

    # ------------------------------------------------------------------------------------------ one look

    def _look(self, now: float) -> int | None:
        """Do what is due; return an exit code to end with it."""
        if self._stop_requested:
            return 0
        self._stopped.look(now)
        process_tree.reap_orphans({child.pid for child in (self._ray, self._api) if child is not None})
        if self._ray is not None and self._ray.stopped(now):
            if self._plan.address is None:
                say("Ray was stopped here, and the cluster with it")
                return 0
            self._end_ray("Ray was stopped here")
        elif self._ray is not None and self._ray.crashed():
            self._end_ray("a process of Ray has died")
        return self._look_as_head(now) if self._plan.address is None else self._look_as_worker(now)

    def _look_as_head(self, now: float) -> int | None:
        if self._ray is None:
            if self._never_comes_up():
                return EXIT_GAVE_UP
            self._start_ray(now, HEAD_VITAL)
        elif self._ray.ready():
            self._note_ready(now)
            return self._keep_api()
        elif now - self._started_at > HEAD_START_S_MAX:
            self._end_ray("Ray did not start in time")
        return None

    def _look_as_worker(self, now: float) -> int | None:
        advice = self._patience.look(meet(self._plan.head_address), now)
        if advice is Advice.GIVE_UP:
            say(f"the head at {self._plan.head_address} did not respond for too long")
            return 0 if self._was_ready else EXIT_GAVE_UP
        if advice is Advice.LEAVE and self._ray is not None:
            self._end_ray(f"the head at {self._plan.head_address} has stopped")
        if advice is Advice.JOIN and self._ray is None:
            if self._never_comes_up():
                return EXIT_GAVE_UP
            self._start_ray(now, WORKER_VITAL)
        if self._ray is not None and self._ray.ready() and not self._was_ready:
            pass_on(f"ready node of {self._plan.head_address}\n")
        if self._ray is not None and self._ray.ready():
            self._note_ready(now)
        return None

    def _never_comes_up(self) -> bool:
        if self._was_ready or self._starts < FIRST_STARTS_MAX:
            return False
        say(f"Ray did not start here: {(self._plan.data_dir / RAY_LOG).read_text()[-TAIL_BYTES:]}")
        return True

    def _note_ready(self, now: float) -> None:
        self._was_ready = True
        if now - self._started_at > STEADY_S:
            self._again_s = AGAIN_S_MIN

    # ---------------------------------------------------------------------------------------- Ray and the API

    def _start_ray(self, now: float, vital: frozenset[str]) -> None:
        if self._started_at and now - self._started_at < self._again_s:
            return
        if self._started_at:
            self._again_s = min(AGAIN_S_MAX, 2 * self._again_s)
        self._started_at = now
        self._starts += 1
        say(f"starting Ray as a node of {self._plan.head_address}")
        log = self._plan.data_dir / RAY_LOG
        self._ray = RayProcess(ray_start.command(self._plan), self._environment, log, vital)

    def _end_ray(self, why: str) -> None:
        """Kill all descendants: without Ray no orderly shutdown is possible."""
        say(f"{why}; stopping what is left")
        process_tree.kill_descendants()
        self._ray = self._api = None

    def _keep_api(self) -> int | None:
        """Keep the API up; return an exit code when it can never serve again."""
        if self._api is not None:
            pass_on(self._api.said())
            code = self._api.exit_code()
            if not code:  # it runs, or was told to end
                return None
            fatal = self._plan.data_dir / FATAL_FILE
            if fatal.exists():
                say(f"the API cannot continue: {fatal.read_text().strip()}")
                return EXIT_FATAL
            say(f"the API exited with code {code} and is being restarted")
            sweep(self._api_environment, self._plan.data_dir)
        self._api = ApiProcess(self._api_flags, self._api_environment, self._given)
        return None

    def _end_in_order(self) -> None:
        if self._stop_requested and self._api is not None:
            say("stopping the API")
            self._api.stop()
        if self._stop_requested and self._ray is not None:
            say("stopping Ray")
            self._ray.stop()
        process_tree.kill_descendants()
        say("stopped")


def meet(address: str) -> Head:
    """Try to connect to the head's port."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_S_MAX).close()
    except ConnectionRefusedError:
        return Head.REFUSED
    except OSError:
        return Head.SILENT
    return Head.OPEN


def say(line: str) -> None:
    """Write a line to the log."""
    print(f"{time.strftime('%F %T')} helix node: {line}", file=sys.stderr, flush=True)


def pass_on(text: str) -> None:
    """Write to the standard output, which nobody may be reading any more."""
    if text:
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except OSError:
            # Python flushes the buffer at exit, and would fail again.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
