"""Explanations and distributions in words."""

from __future__ import annotations

from typing import Any

import pytest

from helix_ray.cli import placement

MISFIT = {"dimension": "resources.cpu", "asked": 4.0, "has": 1.0, "deficit": 3.0, "kind": "waiting"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"change": "reduce", "resource": "cpu", "to": 1.5, "by": 2.5}, "request 1.5 cpu instead of 4"),
        (
            {"change": "drop_label", "name": "zone", "value": "b"},
            "do not request the label zone=b",
        ),
        ({"change": "drop_capability", "name": "npu"}, "do not request the capability npu"),
        ({"change": "fewer_shards", "to": 2, "by": 3}, "start 2 shards together instead of 5"),
        (
            {"change": "raise_quota", "project_id": "p", "resource": "cpu", "by": 2.0},
            "raise the quota of p: cpu by 2",
        ),
        ({"change": "undrain", "node": "worker-1"}, "undrain worker-1"),
        ({"change": "pray"}, "{'change': 'pray'}"),
    ],
)
def test_every_change_has_words(change: dict[str, Any], words: str) -> None:
    """One that this program does not know is shown as it came."""
    assert placement.change_line(change) == words


def test_a_node_with_two_misfits_is_named_once() -> None:
    """A row a dimension; a node on which it fits has a row of its own."""
    nodes = [
        {"node": "a", "verdict": "fits", "failing": []},
        {"node": "b", "verdict": "never", "failing": [MISFIT, {**MISFIT, "kind": "never"}]},
    ]
    assert list(placement._node_rows(nodes)) == [
        ("a", "fits", None, "", "", "", None),
        ("b", "never", "resources.cpu", "4", "1", "3", "waiting"),
        ("", "", "resources.cpu", "4", "1", "3", "never"),
    ]


def test_why_not_says_what_would_help() -> None:
    """The summary, then how many nodes fail in what, the smallest change, and who is
    expected to have room first."""
    answer = {
        "summary": "2 of 3 nodes can run it but are busy now",
        "reasons": [
            {"dimension": "resources.cpu", "kind": "waiting", "nodes": 2},
            {"dimension": "labels.zone", "kind": "never", "nodes": 1},
        ],
        "change": [{"change": "reduce", "resource": "cpu", "to": 1.0, "by": 3.0}],
        "change_node": "b",
        "expected_free": {"node": "b", "in_s": 12.3, "missing": {"cpu": 3.0}, "overrun_s": 0.0},
    }
    assert list(placement._why_not("task-1", answer)) == [
        "helix: task-1 does not fit on any node now: 2 of 3 nodes can run it but are busy now",
        "  resources.cpu: 2 nodes cannot fit it now",
        "  labels.zone: 1 node can never fit it",
        "  smallest change: request 1 cpu instead of 4, which makes it fit on b",
        "  expected capacity: b in 12 s (until then it lacks cpu=3)",
    ]


@pytest.mark.parametrize(
    ("in_s", "overrun_s", "words"),
    [
        (12.3, 0.0, "b in 12 s (until then it lacks cpu=3)"),
        (0.0, 0.0, "b in less than 1 s (until then it lacks cpu=3)"),
        (
            None,
            90.0,
            "b, but what runs there has taken 90 s longer than usual, so when is not known "
            "(until then it lacks cpu=3)",
        ),
    ],
)
def test_expected_room_in_words(in_s: float | None, overrun_s: float, words: str) -> None:
    """Never in 0 s: an estimate that has failed says so."""
    free = {"node": "b", "in_s": in_s, "missing": {"cpu": 3.0}, "overrun_s": overrun_s}
    answer: Any = {"expected_free": free}
    assert placement._expected_free(answer) == words
