"""Compares the records and checkpoints of the history with those that follow from the facts of the journal.

Both come in the order of the journal, some thousand at a time, so that a history of any length takes little
memory. A record may only differ from what the facts say in these:

    grouping    the history read the facts of a request in other batches: its records begin and end where
                batches did, and together are the same
    retention   records that it may have removed may be gone, and no others (core/audit/retention.py)
    erasure     what the journal erased after the facts that the history has taken in: the history still says
                it, and it cannot be compared; who acted and when can. Of tasks that were queued again, an
                erased fact does not say whether by somebody: such a record may be missing
    settings    what was there before, of a thing of which a fact was erased
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

from helix_ray.core import events as ev
from helix_ray.core.audit.kinds import BY_NAME
from helix_ray.core.audit.records import AuditRecord, Recorder
from helix_ray.core.audit.settings import Settings
from helix_ray.plain import stored
from helix_ray.views.audit import REFUSED, compare, content, thing_of
from helix_ray.views.audit_page import CHECKPOINT_COLUMNS, COLUMNS, EVERY, AuditPage
from helix_ray.views.checkpoints import row_of
from helix_ray.views.columns import text_of

DifferenceKind = Literal["missing", "added", "changed"]
_SEQ, _LAST_SEQ = COLUMNS.index("seq"), COLUMNS.index("last_seq")
_ACTION, _USER = COLUMNS.index("action"), COLUMNS.index("user_id")
_BEFORE, _ERASED, _IDS = COLUMNS.index("before"), COLUMNS.index("erased"), COLUMNS.index("ids")
# What is left of a record after an erasure, and what only some kinds keep.
_LEFT: Final = tuple(
    COLUMNS.index(name)
    for name in (
        "seq", "last_seq", "moment", "user_id", "address", "user_agent", "credential", "resource", "ids",
    )
)  # fmt: skip
_COUNT: Final = COLUMNS.index("things")
_RETRY: Final = BY_NAME[ev.TaskRequeued.__name__].action


class Difference(NamedTuple):
    """The first place at which the history is not what the journal says: `seq` is that of the record."""

    seq: int
    kind: DifferenceKind
    what: str


class Differs(Exception):
    """The history is not what the journal says."""

    def __init__(self, seq: int, kind: DifferenceKind, what: str) -> None:
        super().__init__(what)
        self.difference = Difference(seq, kind, what)


class AuditComparison:
    """Compares records and facts; raises Differs at the first difference."""

    def __init__(self, may_be_gone: Callable[[AuditRecord], bool], erased_later: Mapping[int, int]) -> None:
        """`may_be_gone` says whether retention can have removed a record. `erased_later` are facts that the
        journal has erased, with the fact that says so, as far as the history may not have taken that one
        in."""
        self.records = 0
        self._may_be_gone = may_be_gone
        self._erased_later = erased_later
        # The last fact whose record is gone, and up to which records were removed when it began.
        self._gone = 0
        self._removed: int | None = None
        self._recorder = Recorder()
        self._row: list[Any] | None = None
        self._row_through = 0
        self._added: list[Any] | None = None
        # The first checkpoint that differs: records before it may be compared later.
        self._wrong_checkpoint: Differs | None = None
        self._position = AuditPage(0, 0, [], [], None, [])
        # Facts erased since the record began; what is known of things, and of which it is not certain.
        self._erased: list[int] = []
        self._known: dict[str, Settings] = {}
        self._clouded: set[str] = set()

    def take(self, facts: Sequence[ev.Fact], page: AuditPage) -> None:
        """Compare the records of these facts, without a gap after those before."""
        if page.foreign:
            raise Differs(0, "changed", f"the file has {', '.join(page.foreign)}")
        self._position = page
        if self._removed is None:
            self._removed = page.removed
        self._wrong_checkpoint = self._wrong_checkpoint or checkpoint_that_differs(facts, page.checkpoints)
        rows = iter(page.rows)
        row = next(rows, None)
        for fact in facts:
            while row is not None and row[_SEQ] < fact.seq:
                self._add(row)
                row = next(rows, None)
            here = None
            if row is not None and row[_SEQ] == fact.seq:
                here, row = row, next(rows, None)
            self._note(fact, here)
        if row is not None:
            self._add(row)

    def finish(self) -> None:
        """Compare the last record, and what the history says of its retention and of settings."""
        for record in self._recorder.records:
            self._close(record)
        self._refuse_added()
        self._refuse_checkpoint()
        # What is removed meanwhile was there when it was compared.
        if self._removed is not None and self._removed > self._gone:
            what = f"records up to fact {self._removed} are said to be removed, and are not"
            raise Differs(self._removed, "changed", what)
        self._compare_settings(self._position.settings or [])

    def _note(self, fact: ev.Fact, row: list[Any] | None) -> None:
        recorder, of = self._recorder, self._row
        is_within = of is not None and fact.seq <= of[_LAST_SEQ]
        if not is_within and (row is not None or of is not None):
            recorder.cut()
        before = len(recorder.records)
        recorder.note(fact)
        if len(recorder.records) > before:
            if before:
                self._close(recorder.records.pop(0))
            self._row, self._row_through = row, self._position.ingested
        elif row is not None:
            self._add(row)
        if isinstance(fact.event, ev.Erased):
            self._note_erased(fact.seq, fact.event)

    def _add(self, row: list[Any]) -> None:
        """Note a record where none begins: it is a difference unless the record before it already is one."""
        self._added = self._added or row

    def _refuse_added(self) -> None:
        if (row := self._added) is not None:
            raise Differs(row[_SEQ], "added", f"{row[_ACTION]} of {row[_USER]}")

    def _refuse_checkpoint(self, before: int = EVERY) -> None:
        if self._wrong_checkpoint is not None and self._wrong_checkpoint.difference.seq < before:
            raise self._wrong_checkpoint

    def _note_erased(self, seq: int, event: ev.Erased) -> None:
        self._erased.append(seq)
        act = BY_NAME.get(event.kind)
        if act is not None and not act.many:
            self._clouded.add(f"{act.resource} {event.id}")

    def _close(self, record: AuditRecord) -> None:
        """Compare a record that is complete."""
        self._refuse_checkpoint(record.seq)
        if self._added is not None and self._added[_SEQ] < record.seq:
            self._refuse_added()
        row = self._row
        erased = [seq for seq in self._erased if record.seq <= seq <= record.last_seq]
        self._erased = []
        compare(record, self._known)
        if row is None:
            self._miss(record)
        else:
            self.records += 1
            self._compare(record, row, erased)
        self._refuse_added()

    def _miss(self, record: AuditRecord) -> None:
        if record.last_seq <= self._position.removed and self._may_be_gone(record):
            self._gone = record.last_seq
        elif not (record.erased and record.action == _RETRY):
            raise Differs(record.seq, "missing", f"{record.action} of {record.user_id}")

    def _compare(self, record: AuditRecord, row: list[Any], erased: list[int]) -> None:
        expected = content(record)
        if row == expected:
            return
        if record.change is not None and thing_of(record) in self._clouded:
            expected[_BEFORE] = row[_BEFORE]
        later = all(self._erased_later.get(seq, 0) > self._row_through for seq in erased)
        if erased and later and not row[_ERASED]:
            # Of all ids, that of the request is left.
            for each in (row, expected):
                each[_IDS] = each[_IDS].rpartition("\n")[0]
            places = _LEFT if record.resource == REFUSED.resource else (*_LEFT, _COUNT)
        else:
            places = tuple(range(len(COLUMNS)))
        wrong = [COLUMNS[place] for place in places if row[place] != expected[place]]
        if wrong:
            raise Differs(record.seq, "changed", ", ".join(wrong))

    def _compare_settings(self, kept: Sequence[Sequence[str]]) -> None:
        expected = {thing: known for thing, known in self._known.items() if known}
        found: dict[str, Settings] = {}
        for thing, settings in kept:
            if thing in found or (thing not in expected and thing not in self._clouded):
                raise Differs(self._position.ingested, "added", f"settings of {thing}")
            found[thing] = stored(settings)
        for thing, known in expected.items():
            if thing not in self._clouded and found.get(thing) != stored(text_of(known)):
                kind: DifferenceKind = "changed" if thing in found else "missing"
                raise Differs(self._position.ingested, kind, f"settings of {thing}")


def checkpoint_that_differs(facts: Sequence[ev.Fact], found: Sequence[list[Any]]) -> Differs | None:
    """Compare the checkpoints of these facts; neither retention nor an erasure removes one."""
    expected = [[*row_of(fact, fact.event)] for fact in facts if isinstance(fact.event, ev.CheckpointSigned)]
    if expected == found:
        return None
    seq = min(row[0] for row in (*expected, *found) if expected.count(row) != found.count(row))
    said, signed = ([row for row in rows if row[0] == seq] for rows in (found, expected))
    if not said:
        return Differs(seq, "missing", "a checkpoint")
    if len(said) > len(signed):
        return Differs(seq, "added", "a checkpoint")
    pairs = zip(CHECKPOINT_COLUMNS, said[0], signed[0], strict=True)
    wrong = [name for name, one, other in pairs if one != other]
    return Differs(seq, "changed", f"{', '.join(wrong)} of a checkpoint")
