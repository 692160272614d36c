"""How long kinds of work take: averages that follow, quantiles of the newest, and nothing
forgotten by a snapshot."""

from __future__ import annotations

import orjson
import pytest

from helix_ray.core import durations
from helix_ray.core.durations import RECENT_MAX, Durations, Kind, Measured, moved

KIND: Kind = ("function", "m:f", (("cpu", 1.0),))


def test_the_average_follows_and_jumps_for_one_long_run() -> None:
    """Slowly for small moves, at once for a run that is much longer."""
    assert moved(None, 2.0) == 2.0
    assert moved(2.0, 3.0) == pytest.approx(2.2)
    assert moved(2.0, 9.0) == 9.0


def test_quantiles_are_of_the_newest_runs() -> None:
    """Nothing is known before the first."""
    known = Durations()
    assert known.of(KIND) is known.average_s(KIND) is None
    assert Measured().quantile(0.5) is None
    for i in range(RECENT_MAX + 10):
        known.note(KIND, float(i))
    measured = known.of(KIND)
    assert measured is not None
    assert (measured.ended, measured.quantile(0.0), measured.quantile(1.0)) == (RECENT_MAX + 10, 10.0, 41.0)


def test_a_run_that_goes_on_lengthens_the_average_and_is_no_measurement() -> None:
    """It never shortens it; of a kind that is not known yet it says how long at least."""
    known = Durations()
    known.outlasted(KIND, 2.0)
    known.outlasted(KIND, 1.0)
    measured = known.of(KIND)
    assert measured is not None
    assert (measured.ended, measured.average_s, measured.quantile(0.5)) == (0, 2.0, None)
    known.note(KIND, 30.0)
    known.outlasted(KIND, 4.0)
    assert known.average_s(KIND) == 30.0


def test_a_snapshot_keeps_all_of_it() -> None:
    """Through JSON, in the same order."""
    known = Durations()
    known.note(KIND, 1.0)
    known.note(("command", "", ()), 0.5)
    rows = orjson.loads(orjson.dumps(known.dump()))
    again = Durations.load(rows)
    assert again.dump() == known.dump()
    assert again.average_s(KIND) == 1.0


def test_the_least_recent_kind_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is room for so many."""
    monkeypatch.setattr(durations, "KINDS_MAX", 2)
    known = Durations()
    for i in range(3):
        known.note(("function", str(i), ()), 1.0)
    assert [row[1] for row in known.dump()] == ["1", "2"]
