"""The life of a system actor: it begins by itself at every start, and retries to open what it needs.

Ray never retries an actor whose constructor raised, and tells nobody when it restarts an actor. So a
constructor here touches no file and no network, and makes the actor call its own `begin` (LivingActor). That
opens what the actor needs:

    beginning --> living             `open` returned: the loops run, calls are answered
        |  ^
        |  +-- again, with backoff   `open` raised: NotReady with the reason, which is logged once
        +----> fatal                 `open` raised Fatal: no retry; `helix up` ends with the reason
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import ray

from actors.collector import collect_less_often
from actors.logs import set_up
from helix_ray.ports import STARTING, NotReady

log = logging.getLogger(__name__)

# Pauses between tries to open. The longest is well below a client's patience after the cause is gone.
AGAIN_S_MIN = 0.2
AGAIN_S_MAX = 3.0
# The pause before a failed loop is restarted.
GO_ON_S = 0.2
# How often to repeat a call of `begin` that Ray does not deliver, because the actor does
# not count as alive yet.
CALL_S_MAX = 10.0
CALL_AGAIN_S = 0.05
REASON_CHARS_MAX = 300
NO_ANSWER = "it does not respond"
# The folders of a path in a library's message.
FOLDERS = re.compile(r"(?<![\w.])/(?:[^\s/:\"']+/)+")

Work = Callable[[], Awaitable[None]]


class Fatal(Exception):
    """An actor can never start; the message says why and what to do."""


class Life:
    """The life of one actor; construct it anywhere, begin it on the event loop where it runs."""

    def __init__(self, name: str, open_: Work, loops: Sequence[Work] = ()) -> None:
        """`open_` may be called many times and must leave nothing open when it raises;
        afterwards `loops` run for ever."""
        self._name = name
        self._open = open_
        self._works = loops
        self._reason: str | None = None
        self._fatal = False
        self._opened = asyncio.Event()
        # Set when the first try has ended: early callers are answered then.
        self._known = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._stopped = False

    def begin(self) -> None:
        """Begin, unless it has begun; returns at once."""
        if not self._tasks and not self._stopped:
            self._tasks.append(asyncio.get_running_loop().create_task(self._live()))

    def stop(self) -> None:
        """Stop the loops and further tries; safe to call twice."""
        self._stopped = True
        for task in self._tasks:
            task.cancel()

    @property
    def lives(self) -> bool:
        """Whether `open` has returned and `stop` was not called."""
        return self._opened.is_set() and not self._stopped

    @property
    def reason(self) -> str | None:
        """Why it does not run; None when it does, or during its first try."""
        return self._reason

    @property
    def fatal(self) -> bool:
        """Whether there will be no further try."""
        return self._fatal

    async def not_ready(self, wait_s: float) -> NotReady | None:
        """Return None when it runs; else why it does not, after waiting up to `wait_s` for
        the end of the first try."""
        if not self._opened.is_set() and self._reason is None and not self._stopped:
            try:
                async with asyncio.timeout(wait_s):
                    await self._known.wait()
            except TimeoutError:
                return NotReady(None)
        return None if self.lives else NotReady("it is stopping" if self._stopped else self._reason)

    async def _live(self) -> None:
        # Causes such as a full disk or the lock of an ending predecessor mostly pass within seconds, so the
        # first tries are close together; later ones must not keep a struggling disk busy.
        pause_s, tries = AGAIN_S_MIN, 1
        while not await self._try_to_open(pause_s):
            if self._fatal:
                return
            await asyncio.sleep(pause_s)
            pause_s, tries = min(2 * pause_s, AGAIN_S_MAX), tries + 1
        if self._reason is not None:
            log.info("%s is ready after %d tries", self._name, tries)
        self._reason = None
        self._opened.set()
        self._known.set()
        loop = asyncio.get_running_loop()
        self._tasks += [loop.create_task(self._keep(work)) for work in self._works]

    async def _try_to_open(self, pause_s: float) -> bool:
        try:
            await self._open()
        except Fatal as fatal:
            self._reason, self._fatal = str(fatal), True
            self._known.set()
            log.critical("%s cannot start: %s", self._name, fatal)
            return False
        except Exception as error:
            self._note(error, pause_s)
            return False
        return True

    def _note(self, error: Exception, pause_s: float) -> None:
        """Log a reason once, however many tries fail with it."""
        reason = reason_of(error)
        if reason != self._reason:
            surprise = None if isinstance(error, OSError) else error
            log.warning("%s cannot start yet, retrying: %s", self._name, error, exc_info=surprise)
        self._reason = reason
        self._known.set()

    async def _keep(self, work: Work) -> None:
        while True:
            try:
                await work()
            except Exception:
                # Nobody would notice a loop that ended: the actor would pass its health
                # checks and do nothing.
                log.exception("%s of %s failed; continuing", getattr(work, "__name__", "a loop"), self._name)
                await asyncio.sleep(GO_ON_S)


class LivingActor:
    """The base of all system actors, which define `opening` and `loops`."""

    def __init__(self) -> None:
        set_up()
        collect_less_often()
        self._life = Life(type(self).__name__, self.opening, self.loops())
        _call_from_thread(ray.get_runtime_context().current_actor)

    async def opening(self) -> None:
        """Open what the actor needs; it is called again after an error, so it must
        leave nothing open then."""

    def loops(self) -> Sequence[Work]:
        """Return the loops that run for ever after `opening`."""
        return ()

    def hindrance(self) -> str | None:
        """Return what keeps a running actor from doing its work; None when nothing does."""
        return None

    def progress(self) -> str | None:
        """Return how far `opening` is, in words that change while it goes on; None where it is soon done."""
        return None

    async def begin(self) -> None:
        """Begin the actor's life: it calls this itself at every start."""
        self._life.begin()

    async def health(self) -> dict[str, Any]:
        """Return the process id, whether it can do its work, why not, and whether that is fatal."""
        reason = self.hindrance() if self._life.lives else self._life.reason or self.progress() or STARTING
        return {"pid": os.getpid(), "ready": reason is None, "reason": reason, "fatal": self._life.fatal}


def reason_of(error: BaseException) -> str:
    """Return an error as one short line that may be shown to anybody: with file names but without paths."""
    if isinstance(error, OSError) and error.strerror:
        name = os.path.basename(str(error.filename)) if error.filename is not None else ""
        return f"{name}: {error.strerror}" if name else error.strerror
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    first = FOLDERS.sub("", first)
    return f"{type(error).__name__}: {first}"[:REASON_CHARS_MAX] if first else type(error).__name__


def _call_from_thread(me: Any) -> None:
    """Call `begin` until it succeeds: at first the event loop does not run, and the actor does
    not count as alive for Ray."""
    taken = threading.Event()

    def call() -> None:
        while not taken.is_set():
            try:
                ray.get(me.begin.remote(), timeout=CALL_S_MAX)
                taken.set()
            except Exception as error:
                log.debug("calling begin again, the first call failed: %s", error)
                taken.wait(CALL_AGAIN_S)

    threading.Thread(target=call, name="begin", daemon=True).start()
