"""Frames and messages."""

from __future__ import annotations

import pickle

import pytest

from helix_ray.execution.assignment import (
    Assignment,
    Cancel,
    ErrorInfo,
    Finished,
    GiveBack,
    Hello,
    Outcome,
    Progressed,
    Report,
    Returned,
    Run,
    Started,
)
from helix_ray.execution.frames import HEADER, FrameError, FrameReader, encode

MESSAGES = [
    Hello("executor-1", 42, {"CUDA_VISIBLE_DEVICES": "1"}),
    Run((Assignment("task-1", 2, {"kind": "command", "argv": ["true"]}, 1.5, "/tmp/x", b"\0"),)),
    Cancel("task-1", 2),
    GiveBack(),
    Returned((("task-1", 2), ("task-2", 1))),
    Returned(()),
    Report(
        (
            Started("task-1", 2),
            Progressed("task-1", 2, 12.5, "note"),
            Finished("task-1", 2, Outcome(True, {"a": [1, None]}, b"p", None, 0, "tail", 9), 1.0, 2.0),
            Finished("t", 1, Outcome(False, error=ErrorInfo("failed", "E", "m", "tb", b"x")), 1.0, 2.0),
        )
    ),
]


@pytest.mark.parametrize("chunk_bytes", [1, 7, 1 << 20])
def test_messages_survive_any_cut(chunk_bytes: int) -> None:
    """Every message comes back equal and in order, however the stream is cut."""
    stream = b"".join(map(encode, MESSAGES))
    reader = FrameReader()
    taken = []
    for start in range(0, len(stream), chunk_bytes):
        taken += reader.feed(stream[start : start + chunk_bytes])
    assert taken == MESSAGES


def test_limits() -> None:
    """A frame above the limit is refused by both ends, by its header alone."""
    with pytest.raises(FrameError, match="the limit is 10"):
        encode(MESSAGES[1], frame_bytes_max=10)
    with pytest.raises(FrameError, match="the limit is 10"):
        FrameReader(frame_bytes_max=10).feed(HEADER.pack(11))


@pytest.mark.parametrize(
    "body", [pickle.dumps(print), pickle.dumps(("nothing", 1)), b"no pickle", pickle.dumps(3)]
)
def test_a_frame_runs_no_code(body: bytes) -> None:
    """A pickle that names a function, and anything that is no message, is refused."""
    with pytest.raises(FrameError):
        FrameReader().feed(HEADER.pack(len(body)) + body)
