"""The node's starter as a process: started, spoken to over a socket, started again when it dies.

It says what executors say, through the same callbacks; helix_ray/execution/starter/ is the process itself.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from helix_ray.execution.assignment import (
    Assignment,
    ErrorInfo,
    Finished,
    Outcome,
    ReportItem,
)
from helix_ray.execution.descendants import adopt_orphans, end_own
from helix_ray.execution.effects import Key
from helix_ray.execution.environment import server_variables
from helix_ray.execution.frames import FrameError, MessageReader, encode_plain
from helix_ray.execution.starter.begin import Config, starter_command
from helix_ray.execution.starter.levels import CellSpec, NotOffered
from helix_ray.execution.starter.messages import (
    AskBackCommands,
    CancelCommand,
    CloseSlot,
    Message,
    RunCommands,
    SlotReport,
    SlotReturned,
    StarterReady,
    StarterRefused,
    from_frame,
    to_frame,
)

log = logging.getLogger(__name__)

RECEIVE_BYTES = 256 * 1024
START_AGAIN_S = 0.5

Said = Callable[[str, Sequence[ReportItem]], None]
Returned = Callable[[str, tuple[Key, ...]], None]


@dataclass(slots=True)
class _Slot:
    """What a slot was given and has not ended, in order."""

    outstanding: dict[Key, None] = field(default_factory=dict)


class StarterHost:
    """Keeps one starter alive; commands that are given while there is none wait for the next."""

    def __init__(self, config: Config, said: Said, returned: Returned) -> None:
        self._config = config
        self._said, self._returned = said, returned
        self._slots: dict[str, _Slot] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._waiting = bytearray()
        self._process: subprocess.Popen[bytes] | None = None
        self._life: asyncio.Task[None] | None = None
        self._first: asyncio.Future[StarterReady] | None = None
        self.ready: StarterReady | None = None

    async def open(self) -> StarterReady:
        """Start it and return what it offers; safe to call again. Raises NotOffered, OSError."""
        if self.ready is not None:
            return self.ready
        adopt_orphans()
        loop = asyncio.get_running_loop()
        self._first = loop.create_future()
        self._life = loop.create_task(self._live())
        return await self._first

    def run(
        self, slot_id: str, spec: CellSpec, variables: dict[str, str], batch: tuple[Assignment, ...]
    ) -> None:
        """Have commands run in a slot, in this order after what it has."""
        outstanding = self._slots.setdefault(slot_id, _Slot()).outstanding
        outstanding.update(dict.fromkeys((each.task_id, each.attempt) for each in batch))
        self._send(RunCommands(slot_id, spec, variables, batch))

    def has(self, slot_id: str, key: Key) -> bool:
        """Say whether an attempt is one of its commands."""
        slot = self._slots.get(slot_id)
        return slot is not None and key in slot.outstanding

    def cancel(self, slot_id: str, key: Key) -> None:
        """End an attempt."""
        self._send(CancelCommand(slot_id, *key))

    def ask_back(self, slot_id: str) -> None:
        """Ask for what has not begun in a slot."""
        if slot_id in self._slots:
            self._send(AskBackCommands(slot_id))

    def close_slot(self, slot_id: str) -> None:
        """End everything in a slot; nothing more is said about it."""
        if self._slots.pop(slot_id, None) is not None:
            self._send(CloseSlot(slot_id))

    def close(self) -> None:
        """End the starter with all that it runs, and wait for that."""
        if self._life is not None:
            self._life.cancel()
        if self._writer is not None:
            self._writer.close()
        self._end_process()

    # ------------------------------------------------------------------------------------- its lives

    async def _live(self) -> None:
        while True:
            reason = "it ended"
            try:
                await self._one_life()
            except (OSError, FrameError, ValueError) as error:
                reason = str(error)
            self._lost()
            if self.ready is None:
                # The node worker calls `open` again.
                if self._first is not None and not self._first.done():
                    self._first.set_exception(OSError(f"the starter of commands does not begin: {reason}"))
                return
            log.error("the starter of commands: %s; starting another", reason)
            await asyncio.sleep(START_AGAIN_S)

    async def _one_life(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                starter_command(theirs.fileno(), self._config), stdin=subprocess.DEVNULL,
                env=server_variables(), pass_fds=(theirs.fileno(),), cwd="/", start_new_session=True,
            )  # fmt: skip
        reader, self._writer = await asyncio.open_unix_connection(sock=ours, limit=RECEIVE_BYTES)
        self._writer.write(bytes(self._waiting))
        self._waiting.clear()
        frames = MessageReader(from_frame)
        try:
            while data := await reader.read(RECEIVE_BYTES):
                for message in frames.feed(data):
                    self._take(message)
        finally:
            writer, self._writer = self._writer, None
            writer.close()

    def _take(self, message: Message) -> None:
        match message:
            case SlotReport(slot_id, items):
                for item in items:
                    if isinstance(item, Finished):
                        self._forget(slot_id, (item.task_id, item.attempt))
                self._said(slot_id, items)
            case SlotReturned(slot_id, keys):
                for key in keys:
                    self._forget(slot_id, key)
                self._returned(slot_id, keys)
            case StarterReady():
                self._welcome(message)
            case StarterRefused(why):
                self._refuse(why)
            case _:
                raise ValueError(f"{type(message).__name__} is not a message for node workers")

    def _welcome(self, ready: StarterReady) -> None:
        self.ready = ready
        if ready.why:
            log.warning("isolation of commands: %s (%s)", ready.isolation, ready.why)
        else:
            log.info("isolation of commands: %s", ready.isolation)
        if self._first is not None and not self._first.done():
            self._first.set_result(ready)

    def _refuse(self, why: str) -> None:
        if self._first is not None and not self._first.done():
            self._first.set_exception(NotOffered(why))

    def _lost(self) -> None:
        """Report what ended with the starter: first end what it may have left, then say so.

        The first attempt of each slot was running and is lost; those behind it have not begun.
        """
        self._end_process()
        now = time.time()
        for slot_id, slot in list(self._slots.items()):
            keys = list(slot.outstanding)
            slot.outstanding.clear()
            self._returned(slot_id, tuple(keys[1:]))
            for task_id, attempt in keys[:1]:
                error = ErrorInfo("lost", "StarterDied", "the process that starts commands died")
                self._said(slot_id, [Finished(task_id, attempt, Outcome(False, error=error), now, now)])

    def _end_process(self) -> None:
        """Kill the starter, which ends its cells, and any process that these left: it is our child now."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        end_own()

    def _forget(self, slot_id: str, key: Key) -> None:
        slot = self._slots.get(slot_id)
        if slot is not None:
            slot.outstanding.pop(key, None)

    def _send(self, message: Message) -> None:
        frame = encode_plain(to_frame(message))
        if self._writer is not None:
            self._writer.write(frame)
        else:
            self._waiting += frame
