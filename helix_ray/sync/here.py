"""The service of synced devices in the process of the control plane: for tests and trials without Ray."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import Any

from helix_ray.core.access import Principal
from helix_ray.core.answers import Answer
from helix_ray.core.errors import Refused, Rejected
from helix_ray.core.follows import shard_of
from helix_ray.core.questions import PullChanges, QuestionKind
from helix_ray.core.visibility import administers
from helix_ray.ports import Batch
from helix_ray.sync.affected import Affected, affected_by
from helix_ray.sync.change_log import MEMORY, ChangeLog
from helix_ray.sync.desk import SyncDesk
from helix_ray.sync.enrolled import EnrolledDevices

KEY = b"no secret: it is for one process"
FACTS_MAX = 5_000
# As many actors would share the devices of a large cluster.
SHARDS = 3


class SyncHere:
    """A desk for each shard, which takes all facts before it answers."""

    def __init__(
        self,
        ask: Callable[[QuestionKind[Any]], Any],
        facts: Callable[[int, int], Batch],
        clock: Callable[[], float],
        interval_s: float,
    ) -> None:
        """`ask` answers the system's questions; `facts` returns the batch after a seq."""
        self._ask = ask
        self._facts = facts
        self._clock = clock
        self._desks = [
            SyncDesk(ChangeLog(MEMORY), KEY, interval_s, EnrolledDevices(shard, SHARDS))
            for shard in range(SHARDS)
        ]

    def answer(self, question: QuestionKind[Any], by: Principal) -> Answer:
        """Answer a question as of now."""
        now = self._clock()
        if isinstance(question, PullChanges):
            return self._up_to_date(shard_of(question.device_id, SHARDS)).pull(question, by.id, now)
        user = None if administers(by) else by.id
        found = [self._up_to_date(shard).status(user, now)["devices"] for shard in range(SHARDS)]
        return {"devices": sorted(chain(*found), key=lambda device: device["device_id"])}

    def is_news(self, question: QuestionKind[Any], answer: Answer) -> bool:
        """Say whether an answer has news, and should be sent before its wait is over."""
        if not isinstance(question, PullChanges) or isinstance(answer, Rejected) or question.cursor is None:
            return True
        return bool(answer["changes"])

    def _up_to_date(self, shard: int) -> SyncDesk:
        desk = self._desks[shard]
        if not desk.board.known:
            self._take(desk, Affected(), desk.cursor)
        while (batch := self._facts(desk.cursor, FACTS_MAX)).cursor > desk.cursor:
            self._take(desk, affected_by(batch.facts), batch.cursor)
        return desk

    def _take(self, desk: SyncDesk, affected: Affected, cursor: int) -> None:
        taking = desk.taking(affected, cursor, self._clock())
        try:
            question = next(taking)
            while True:
                answer = self._ask(question)
                if isinstance(answer, Rejected):
                    raise Refused(answer)
                question = taking.send(answer)
        except StopIteration:
            pass
