"""The service of synced devices in the process of the control plane: for tests and trials without Ray."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from helix_ray.core.access import Principal
from helix_ray.core.answers import Answer
from helix_ray.core.errors import Refused, Rejected
from helix_ray.core.questions import PullChanges, QuestionKind
from helix_ray.core.visibility import administers
from helix_ray.ports import Batch
from helix_ray.sync.affected import Affected, affected_by
from helix_ray.sync.change_log import MEMORY, ChangeLog
from helix_ray.sync.desk import SyncDesk

KEY = b"no secret: it is for one process"
FACTS_MAX = 5_000


class SyncHere:
    """A desk that takes all facts before it answers."""

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
        self.desk = SyncDesk(ChangeLog(MEMORY), KEY, interval_s)

    def answer(self, question: QuestionKind[Any], by: Principal) -> Answer:
        """Answer a question as of now."""
        self._catch_up()
        now = self._clock()
        if isinstance(question, PullChanges):
            return self.desk.pull(question, by.id, now)
        return self.desk.status(None if administers(by) else by.id, now)

    def is_news(self, question: QuestionKind[Any], answer: Answer) -> bool:
        """Say whether an answer has news, and should be sent before its wait is over."""
        if not isinstance(question, PullChanges) or isinstance(answer, Rejected) or question.cursor is None:
            return True
        return bool(answer["changes"])

    def _catch_up(self) -> None:
        if not self.desk.board.known:
            self._take(Affected(), self.desk.cursor)
        while (batch := self._facts(self.desk.cursor, FACTS_MAX)).cursor > self.desk.cursor:
            self._take(affected_by(batch.facts), batch.cursor)

    def _take(self, affected: Affected, cursor: int) -> None:
        taking = self.desk.taking(affected, cursor, self._clock())
        try:
            question = next(taking)
            while True:
                answer = self._ask(question)
                if isinstance(answer, Rejected):
                    raise Refused(answer)
                question = taking.send(answer)
        except StopIteration:
            pass
