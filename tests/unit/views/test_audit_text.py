"""A search of the audit for a text finds what looks the same."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest

from helix_ray.core import events as ev
from helix_ray.core.origin import Origin
from helix_ray.core.questions import ListAudit
from helix_ray.views.history import History

FROM = Origin("192.0.2.7", "session-1", "curl/8 Żółw")
COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "Żółć é") for form in ("NFC", "NFD"))
NAMES = (COMPOSED, DECOMPOSED, "Σίσυφος ΣΑΣ", "Straße", "STRASSE", 'it\'s "100%" a_b \\ done', "axb 100x")


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[History]:
    """Projects with a name each, the first with seq 1, and reads of ids that callers chose."""
    made = History(Path(tmp_path_factory.mktemp("text")) / "history.duckdb")
    facts: list[ev.Event] = [ev.ProjectSet(f"p-{n}", name, []) for n, name in enumerate(NAMES)]
    facts.append(ev.DataRead("results", 1, [f"Ὀδυσσεύς {DECOMPOSED}"]))
    origins = [Origin() for _ in NAMES] + [FROM]
    made.ingest([
        ev.Fact(seq, 100.0 + seq, "user-ada", f"r-{seq}", event, origin)
        for seq, (event, origin) in enumerate(zip(facts, origins, strict=True), 1)
    ])  # fmt: skip
    yield made
    made.close()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (COMPOSED, [8, 2, 1]),
        (DECOMPOSED, [8, 2, 1]),
        (COMPOSED.upper(), [8, 2, 1]),
        ("żółw", [8]),
        ("ΣΊΣΥΦΟΣ", [3]),
        ("σίσυφοσ σας", [3]),
        ("ὈΔΥΣΣΕΎΣ", [8]),
        ("STRAẞE", [4]),
        ("strasse", [5]),
        ("100%", [6]),
        ("a_b", [6]),
        ("IT'S \"100", [6]),
        ("\\ DONE", [6]),
        ("100x", [7]),
    ],
)
def test_case_and_composition_do_not_matter(history: History, text: str, expected: list[int]) -> None:
    """Also of quotes, percent signs and underscores, which mean nothing but themselves."""
    assert [row["seq"] for row in history.audit(ListAudit(text=text))["rows"] or ()] == expected
