"""Signed checkpoints are kept beside the audit."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from helix_ray.core import events as ev
from helix_ray.core.questions import ListAudit, ListCheckpoints
from helix_ray.views.history import History
from tests.unit.views.acts import journal


def test_checkpoints_are_listed_in_stable_pages(tmp_path: Path) -> None:
    """The newest first; the cursor is the seq of the last one, whatever comes later."""

    def signed(seq: int) -> ev.Fact:
        return ev.Fact(
            seq, 200.0 + seq, "system", "req-7", ev.CheckpointSigned(f"root-{seq}", seq - 1, "note")
        )

    with closing(History(tmp_path / "history.duckdb")) as history:
        history.ingest(journal())
        history.ingest([signed(seq) for seq in range(9, 16)])
        page = history.checkpoints(ListCheckpoints(limit=2))
        assert page["rows"][0] == {"seq": 15, "at": 215.0, "size": 14, "root": "root-15", "note": "note"}
        assert (len(page["rows"]), page["next"]) == (2, 14)
        history.ingest([signed(16)])
        page = history.checkpoints(ListCheckpoints(before=page["next"]))
        assert ([row["seq"] for row in page["rows"]], page["next"]) == ([13, 12, 11, 10, 9], None)
        assert history.audit(ListAudit())["total"] == 6
