"""The state of a node, without I/O or a clock: its attempts, its executors, and the
effects of events on them.

`NodeState` is the only owner of this state. The node worker (actors/node_worker.py) passes it events with the
monotonic time, and carries out the effects that it returns, in order:

    from the control plane    assign
    from the blob store       fetched, fetch_failed
    from executors            ready, said, returned, gone, start_refused, environment_failed
    from the clock            tick
    of the node               cut_off, shut_down

dispatch.py decides which slot gets which attempt; this module decides how an attempt ends:

1. It reports that it has finished. If its executor is spent with it, another one takes its place.
2. It was cancelled, or its time is over. Its executor is asked to end it; one that does not within
   its grace is killed, and its end is the attempt's.
3. Its executor is gone for a reason of its own: the attempt is lost. What was behind it goes out again.

A cancelled attempt is not reported. Every other assigned attempt is reported exactly once as ended: finished,
failed, lost or returned.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from helix_ray.core.orders import AttemptReport
from helix_ray.core.specs import TaskError
from helix_ray.core.state import Demand
from helix_ray.execution.assignment import Blocked, Finished, Progressed, ReportItem, Started, Unblocked
from helix_ray.execution.dispatch import Dispatch
from helix_ray.execution.effects import (
    AskBack,
    CancelAttempt,
    Effect,
    FetchBlobs,
    GiveAttempts,
    Key,
    KillExecutor,
    ReleaseExecutor,
    Say,
    SayFinished,
    StartExecutor,
)
from helix_ray.execution.runtime_env import failure
from helix_ray.execution.slots import Item, Need, Slot
from helix_ray.execution.tenant import environment_of

# A function that runs too long is interrupted by its executor; one that stays in C beyond this is killed.
TIMEOUT_GRACE_S = 1.0
# An executor that has not answered a cancel so much later is killed, whatever it runs.
SILENT_S_MAX = 30.0
# Another program on the Ray cluster may get the resources first; after this time the tasks are queued again.
EXECUTOR_START_S_MAX = 60.0


@dataclass(slots=True)
class _Stop:
    """Why an attempt must end, and when its executor is killed if it has not ended."""

    why: Literal["cancelled", "timeout"]
    kill_at: float
    killed: bool = False


class NodeState:
    """The state of one node; `name` is the prefix of slot ids, and must differ after `cut_off`."""

    def __init__(self, capacity: Mapping[str, float], name: str, executor_idle_s: float) -> None:
        self._dispatch = Dispatch(capacity)
        self._name = name
        self._executor_idle_s = executor_idle_s
        self._slots_made = 0
        self._stops: dict[Key, _Stop] = {}
        # Attempts whose files are not here yet: they wait outside the queues, so that they hold up nobody.
        self._fetching: dict[Key, Item] = {}

    # ------------------------------------------------------------------------------------- questions

    def holds(self, key: Key) -> bool:
        """Say whether an attempt waits for its files, is queued, or is assigned to a slot here."""
        return key in self._fetching or self._dispatch.holds(key)

    def attempts(self) -> list[Key]:
        """Return every attempt that waits for its files, is queued, or is assigned to a slot here."""
        return [*self._fetching, *self._dispatch.attempts()]

    def slots(self) -> list[Slot]:
        """Return the slots, those whose executor is starting included."""
        return list(self._dispatch.slots.values())

    # ------------------------------------------------------------------------------------- events

    def open(self, demand: Demand, now: float) -> list[Effect]:
        """Start an executor before attempts arrive; its first one says whom it serves."""
        return self._open(Need(demand, None), now)

    def assign(self, items: Iterable[Item], revoked: Iterable[Key], now: float) -> list[Effect]:
        """Add newly assigned attempts, and stop revoked ones."""
        effects: list[Effect] = []
        for key in revoked:
            self._fetching.pop(key, None)
            slot = self._dispatch.drop(key)
            if slot is not None:
                self._stops[key] = _Stop("cancelled", now + slot.outstanding[key].stop_grace_s)
                effects.append(CancelAttempt(slot.id, key))
        added = [item for item in items if not self.holds(item.key)]
        needing = [item for item in added if item.assignment.blobs]
        self._fetching |= {item.key: item for item in needing}
        self._dispatch.add((item for item in added if not item.assignment.blobs), now)
        fetches = [FetchBlobs(item.key, item.assignment.blobs) for item in needing]
        return [*effects, *fetches, *self._pump(now)]

    def fetched(self, key: Key, now: float) -> list[Effect]:
        """Record that the files of an attempt are here; one that was stopped meanwhile is unknown."""
        item = self._fetching.pop(key, None)
        if item is None:
            return []
        self._dispatch.add((item,), now)
        return self._pump(now)

    def fetch_failed(self, report: AttemptReport) -> list[Effect]:
        """Record that the files of an attempt do not come here; `report` says why."""
        known = self._fetching.pop((report.task_id, report.attempt), None)
        return [] if known is None else [Say(report)]

    def ready(self, slot_id: str, now: float) -> list[Effect]:
        """Record that an executor is ready; one that was given up meanwhile is ended."""
        given_up = self._dispatch.slot_ready(slot_id, now) is None
        return [ReleaseExecutor(slot_id)] if given_up else self._pump(now)

    def said(self, slot_id: str, said: Iterable[ReportItem], now: float) -> list[Effect]:
        """Record what one report of an executor says of its attempts."""
        effects: list[Effect] = []
        has_room = False
        for item in said:
            if isinstance(item, Finished):
                effects += self._finished(slot_id, item, now)
                has_room = True
            elif isinstance(item, Blocked | Unblocked):
                effects += self._waits(slot_id, item)
                has_room = True
            else:
                effects += self._went_on(slot_id, item, now)
        # Once for all of them: an executor that runs short work ends many attempts in a report.
        return effects + self._pump(now) if has_room else effects

    def _went_on(self, slot_id: str, said: Started | Progressed, now: float) -> list[Effect]:
        key = (said.task_id, said.attempt)
        item = self._dispatch.item_of(slot_id, key)
        if item is None:
            return []
        if isinstance(said, Started):
            if item.assignment.timeout_s is not None and not item.ending:
                self._stops[key] = _Stop("timeout", now + item.assignment.timeout_s + _timeout_grace_s(item))
        elif not item.ending:
            return [Say(AttemptReport(*key, "progressed", progress=said.percent, note=said.note))]
        return []

    def returned(self, slot_id: str, keys: Sequence[Key], now: float) -> list[Effect]:
        """Record attempts that an executor has returned unstarted."""
        items = self._dispatch.returned(slot_id, keys)
        self._forget_stops()
        return [*_give_back(item for item in items if not item.ending), *self._pump(now)]

    def gone(self, slot_id: str, now: float) -> list[Effect]:
        """Record that an executor is gone: its running attempt has ended, those
        behind it are queued again."""
        running = self._dispatch.close_slot(slot_id)
        said = self._lost(running) if running is not None else []
        self._forget_stops()
        return [*said, *self._pump(now)]

    def start_refused(self, slot_id: str, message: str) -> list[Effect]:
        """Record that Ray refuses this demand: a retry would fail in the same way."""
        slot = self._dispatch.slots[slot_id]
        self._dispatch.close_slot(slot_id)
        error: TaskError = {"reason": "bad_spec", "type": "ValueError", "message": message}
        return [
            Say(AttemptReport(*item.key, "failed", error=error, retryable=False))
            for item in self._dispatch.hand_back(slot.demand)
        ]

    def environment_failed(self, slot_id: str, message: str) -> list[Effect]:
        """Record that Ray cannot set up an executor's runtime environment: what waits for the same one fails
        with it, and nothing else."""
        slot = self._dispatch.slots.get(slot_id)
        environment = environment_of(slot.tenant) if slot is not None else None
        if environment is None:
            return []
        self._dispatch.close_slot(slot_id)
        error = failure(environment, message)
        return [
            Say(AttemptReport(*item.key, "failed", error=error))
            for item in self._dispatch.hand_back_environment(environment)
        ]

    def tick(self, external_usage: Demand, now: float) -> list[Effect]:
        """Handle everything that is due by now."""
        self._dispatch.external_usage = external_usage
        kills = self._overdue_stops(now)
        releases = self._releases(now)
        return [*kills, *releases, *self._pump(now), *self._unstick(now)]

    def cut_off(self) -> list[Effect]:
        """End everything, since the tasks were assigned to others. This state must not be used afterwards."""
        return [KillExecutor(slot.id) for slot in self.slots()]

    def shut_down(self) -> list[Effect]:
        """End everything for good. This state must not be used afterwards."""
        return [
            KillExecutor(slot.id) if slot.outstanding else ReleaseExecutor(slot.id) for slot in self.slots()
        ]

    # ------------------------------------------------------------------------------------- how attempts end

    def _finished(self, slot_id: str, finished: Finished, now: float) -> list[Effect]:
        key = (finished.task_id, finished.attempt)
        duration_s = max(0.0, finished.ended_at - finished.started_at)
        item = self._dispatch.ended(slot_id, key, duration_s, now)
        if item is None:
            return []
        self._stops.pop(key, None)
        effects: list[Effect] = [] if item.ending else [SayFinished(finished, item.assignment)]
        if finished.spent is not None:
            effects += self._replace(slot_id, at_once=finished.may_still_run)
        return effects

    def _waits(self, slot_id: str, said: Blocked | Unblocked) -> list[Effect]:
        """Record that the code of an attempt waits for other tasks, or goes on: its slot releases its CPUs
        meanwhile, and what is behind the attempt goes elsewhere."""
        item = self._dispatch.item_of(slot_id, (said.task_id, said.attempt))
        if item is None:
            return []
        slot = self._dispatch.slots[slot_id]
        slot.blocked = isinstance(said, Blocked)
        report = (
            AttemptReport(*item.key, "blocked", on=said.on, until=said.until)
            if isinstance(said, Blocked)
            else AttemptReport(*item.key, "unblocked")
        )
        behind = slot.blocked and len(slot.outstanding) > 1
        return [
            *([] if item.ending else [Say(report)]),
            *([AskBack(slot_id)] if behind else []),
        ]

    def _replace(self, slot_id: str, *, at_once: bool) -> list[Effect]:
        """Give up an executor that runs nothing more; what it was given goes out again."""
        self._dispatch.close_slot(slot_id, begun=False)
        self._forget_stops()
        return [ReleaseExecutor(slot_id, at_once)]

    def _lost(self, running: Item) -> list[Effect]:
        """Return the outcome of an attempt whose executor is gone."""
        stop = self._stops.get(running.key)
        if running.ending:
            return []
        if stop is not None and stop.killed:
            message = f"timed out after {running.assignment.timeout_s} s"
            error: TaskError = {"reason": "timeout", "type": "TimedOut", "message": message}
            return [Say(AttemptReport(*running.key, "failed", error=error))]
        error = {"reason": "lost", "type": "ExecutorDied", "message": "the executor process died"}
        return [Say(AttemptReport(*running.key, "lost", error=error))]

    def _forget_stops(self) -> None:
        self._stops = {key: stop for key, stop in self._stops.items() if self._dispatch.holds(key)}

    # ------------------------------------------------------------------------------------- what is due

    def _overdue_stops(self, now: float) -> list[Effect]:
        effects: list[Effect] = []
        for key, stop in self._stops.items():
            slot = self._dispatch.slot_of(key)
            if slot is None or slot.doomed:
                continue
            # Killing it now would also end another attempt that runs there: wait for this one's turn. But an
            # executor answers at once for what it has not begun: one that does not is kept from it by C code.
            if now >= stop.kill_at + (0.0 if slot.runs(key) else SILENT_S_MAX):
                stop.killed = slot.doomed = True
                effects.append(KillExecutor(slot.id))
        return effects

    def _releases(self, now: float) -> list[Effect]:
        effects: list[Effect] = []
        for slot in self._dispatch.surplus(now, self._executor_idle_s):
            self._dispatch.close_slot(slot.id)
            effects.append(ReleaseExecutor(slot.id))
        for slot in self._dispatch.overdue(now, EXECUTOR_START_S_MAX):
            effects.append(ReleaseExecutor(slot.id))
            if not self._dispatch.external_usage:
                message = f"no process has started in it for {now - slot.since:.0f} s"
                effects += self.environment_failed(slot.id, message)
            self._dispatch.close_slot(slot.id)
            effects += _give_back(self._dispatch.hand_back(slot.demand))
        return effects

    def _unstick(self, now: float) -> list[Effect]:
        """Give back attempts that wait behind others which run longer than estimated, and report those."""
        stuck = self._dispatch.stuck(now)
        return [
            *(
                Say(AttemptReport(*item.key, "outlasted", duration_s=ran_s))
                for item, ran_s in stuck.outlasting
            ),
            *_give_back(stuck.items),
            *(AskBack(slot.id) for slot in stuck.slots),
        ]

    def _open(self, need: Need, now: float) -> list[Effect]:
        self._slots_made += 1
        slot_id = f"{self._name}-{self._slots_made}"
        slot = self._dispatch.open_slot(slot_id, need, now)
        return [StartExecutor(slot_id, need.demand, environment_of(need.tenant), slot.on_released)]

    def _pump(self, now: float) -> list[Effect]:
        """Dispatch queued attempts, and start executors where more are needed."""
        effects: list[Effect] = [
            GiveAttempts(slot.id, tuple(batch)) for slot, batch in self._dispatch.batches(now)
        ]
        for need in self._dispatch.wanted():
            effects += self._open(need, now)
        return effects


def _give_back(items: Iterable[Item]) -> list[Effect]:
    return [Say(AttemptReport(*item.key, "returned")) for item in items]


def _timeout_grace_s(item: Item) -> float:
    """Return how long an attempt may outlast its time limit; a command's own grace begins at the limit."""
    return item.stop_grace_s if item.assignment.is_command else TIMEOUT_GRACE_S
