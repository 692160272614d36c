"""The starter's one loop: the node worker's connection, the lanes of its slots, and time."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable
from functools import partial

from helix_ray.execution.assignment import ReportItem, Started
from helix_ray.execution.descendants import end_own
from helix_ray.execution.frames import MessageReader, encode_plain
from helix_ray.execution.starter.beginnings import Beginnings
from helix_ray.execution.starter.folders import Folders
from helix_ray.execution.starter.lane import CommandLimits, Lane
from helix_ray.execution.starter.levels import Isolation, Wanted
from helix_ray.execution.starter.messages import (
    AskBackCommands,
    CancelCommand,
    CloseSlot,
    Message,
    RunCommands,
    SlotReport,
    SlotReturned,
    StarterReady,
    from_frame,
    to_frame,
)

RECEIVE_BYTES = 256 * 1024


class Starter:
    """Serves one node worker until its connection ends; then everything that it started is ended."""

    def __init__(
        self,
        connection: socket.socket,
        wanted: Wanted,
        isolation: Isolation,
        folders: Folders,
        limits: CommandLimits,
    ) -> None:
        self.wanted, self.isolation, self.folders, self.limits = wanted, isolation, folders, limits
        self._connection = connection
        self._connection.setblocking(False)
        self._frames = MessageReader(from_frame)
        self._outgoing = bytearray()
        self._reports: dict[str, list[ReportItem]] = {}
        self._beginnings = Beginnings()
        self._lanes: dict[str, Lane] = {}
        self._selector = selectors.DefaultSelector()
        self._open = True

    def serve(self) -> None:
        """Run until the node worker hangs up."""
        self._selector.register(self._connection, selectors.EVENT_READ, self._on_node)
        self._say(
            StarterReady(os.getpid(), self.isolation.name, self.isolation.why, str(self.folders.attempts))
        )
        try:
            while self._open:
                self._turn()
        finally:
            for lane in self._lanes.values():
                lane.close()
            self.end_strays()

    def _turn(self) -> None:
        self._flush()
        for key, _ in self._selector.select(self._wait_s()):
            # One that an earlier event of this turn has put away is not called any more.
            if self._selector.get_map().get(key.fd) is key:
                key.data()
        now = time.monotonic()
        for lane in list(self._lanes.values()):
            lane.on_time(now)
        for slot_id in self._beginnings.due(now):
            self._put(slot_id, self._beginnings.before(slot_id))

    def _wait_s(self) -> float | None:
        times = (self._beginnings.due_at(), *(lane.due_at() for lane in self._lanes.values()))
        due = min((at for at in times if at is not None), default=None)
        return max(0.0, due - time.monotonic()) if due is not None else None

    # ------------------------------------------------------------------------------------- for lanes

    def watch(self, descriptor: int, then: Callable[[], None]) -> None:
        """Call `then` whenever the descriptor is readable."""
        self._selector.register(descriptor, selectors.EVENT_READ, then)

    def unwatch(self, descriptor: int) -> None:
        """Stop that; for one that is not watched, do nothing."""
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(descriptor)

    def tell(self, slot_id: str, item: ReportItem) -> None:
        """Report to the node worker at the end of this turn, a start some milliseconds later."""
        if isinstance(item, Started):
            self._beginnings.keep(slot_id, item, time.monotonic())
        else:
            self._put(slot_id, [*self._beginnings.before(slot_id, item), item])

    def end_strays(self) -> None:
        """End every process below this one that is no cell's: what a dead cell left behind.

        A contained one leaves nothing: the kernel ends a namespace of process ids with its first process.
        """
        if not self.isolation.contained:
            end_own(but={pid for lane in self._lanes.values() for pid in lane.pids()})

    # ------------------------------------------------------------------------------------- the node worker

    def _on_node(self) -> None:
        try:
            data = self._connection.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._open = False
            return
        for message in self._frames.feed(data):
            self._take(message)

    def _take(self, message: Message) -> None:
        match message:
            case RunCommands(slot_id, spec, variables, assignments):
                lane = self._lanes.get(slot_id)
                if lane is None:
                    lane = self._lanes[slot_id] = Lane(slot_id, self)
                lane.add(spec, variables, assignments)
            case CancelCommand(slot_id, task_id, attempt):
                self._with(slot_id, lambda lane: lane.cancel(task_id, attempt))
            case AskBackCommands(slot_id):
                self._with(slot_id, partial(self._give_back, slot_id))
            case CloseSlot(slot_id):
                self._with(slot_id, Lane.close)
                self._lanes.pop(slot_id, None)
                self._reports.pop(slot_id, None)
                self._beginnings.before(slot_id)
            case _:
                raise ValueError(f"{type(message).__name__} is not a message for starters")

    def _with(self, slot_id: str, then: Callable[[Lane], None]) -> None:
        lane = self._lanes.get(slot_id)
        if lane is not None:
            then(lane)

    def _give_back(self, slot_id: str, lane: Lane) -> None:
        keys = lane.take_back()
        self._put(slot_id, self._beginnings.before(slot_id))
        self._put_reports()
        self._say(SlotReturned(slot_id, keys))

    def _say(self, message: Message) -> None:
        self._outgoing += encode_plain(to_frame(message))

    def _put(self, slot_id: str, items: list[ReportItem]) -> None:
        if items:
            self._reports.setdefault(slot_id, []).extend(items)

    def _put_reports(self) -> None:
        reports, self._reports = self._reports, {}
        for slot_id, items in reports.items():
            self._say(SlotReport(slot_id, tuple(items)))

    def _flush(self) -> None:
        """Send what there is; what the socket does not take goes when it does."""
        self._put_reports()
        if self._outgoing:
            try:
                sent = self._connection.send(self._outgoing)
                del self._outgoing[:sent]
            except BlockingIOError:
                pass
            except OSError:
                self._open = False
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._outgoing else 0)
        if self._selector.get_key(self._connection).events != events:
            self._selector.modify(self._connection, events, self._on_node)


def be_still() -> None:
    """Ignore what a terminal or a process group is sent: the node worker's connection says when to end."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
