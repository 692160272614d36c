"""CUDA graphs: sessions of fixed sizes with buffers of their own. Here they run on the CPU, where the buffers
are and the graphs are not; `python -m benchmarks gpu` measures them where they are."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper
from onnxruntime import InferenceSession, SessionOptions

from helix_ray.inference.cuda_graphs import GRAPHS_MAX, GraphSession
from helix_ray.inference.providers import CPU, CUDA, provider_options
from helix_ray.inference.sessions import SessionPlan, with_graphs
from tests.unit.inference.onnx_models import linear, model, value, weights

MODEL = linear().SerializeToString()


class Opened:
    """Opens the model with fixed sizes on the CPU, and keeps which ones; raises `error` where it is set."""

    def __init__(self, file: bytes = MODEL) -> None:
        self.file, self.sizes = file, list[dict[str, int]]()
        self.error: str | None = None
        self.threads: set[int] = set()
        self.session = GraphSession(InferenceSession(file, providers=[CPU]), self, "cpu")

    def __call__(self, sizes: Mapping[str, int]) -> InferenceSession:
        self.sizes.append(dict(sizes))
        self.threads.add(threading.get_ident())
        if self.error is not None:
            raise RuntimeError(self.error)
        options = SessionOptions()
        for axis, size in sizes.items():
            options.add_free_dimension_override_by_name(axis, size)
        return InferenceSession(self.file, options, providers=[CPU])

    def run(self, rows: np.ndarray) -> np.ndarray:
        """Return y."""
        found: np.ndarray = self.session.run(None, {"x": rows})[0]
        return found


def rows(count: int, seed: int = 0) -> np.ndarray:
    """Return x."""
    return np.random.default_rng(seed).standard_normal((count, 8)).astype(np.float32)


@pytest.fixture
def opened() -> Opened:
    """A session that records."""
    return Opened()


def test_shapes_that_come_twice_in_a_row_are_recorded(opened: Opened) -> None:
    """The first run of a shape, and one between others, has no session of its own."""
    for count in (4, 8, 4, 8):
        opened.run(rows(count))
    assert (opened.sizes, opened.session.graphs) == ([], 0)
    for _ in range(3):
        opened.run(rows(8))
    assert (opened.sizes, opened.session.graphs) == ([{"n": 8}], 1)


def test_outputs_are_those_of_the_plain_session(opened: Opened) -> None:
    """Of each run its own: what an earlier run gave is not written over, whatever the layout of the input."""
    plain = InferenceSession(MODEL, providers=[CPU])
    given = [rows(4, seed) for seed in range(5)] + [np.asfortranarray(rows(4, 9)), rows(8, 7)[::2]]
    found = [opened.run(each) for each in given]
    assert opened.session.graphs == 1
    for each, y in zip(given, found, strict=True):
        np.testing.assert_allclose(y, plain.run(None, {"x": np.ascontiguousarray(each)})[0], atol=1e-6)


def test_the_shapes_used_longest_ago_are_let_go(opened: Opened) -> None:
    """Each has a copy of the weights on the device."""
    counts = range(1, GRAPHS_MAX + 2)
    for count in counts:
        opened.run(rows(count))
        opened.run(rows(count))
    assert opened.session.graphs == GRAPHS_MAX
    for _ in range(2):
        opened.run(rows(counts[-1]))
    assert len(opened.sizes) == GRAPHS_MAX + 1
    for _ in range(2):
        opened.run(rows(1))
    assert opened.sizes[-1] == {"n": 1}


def test_what_cannot_be_recorded_runs_without(opened: Opened) -> None:
    """The reason is kept, and nothing further is tried."""
    opened.error = "nodes on the CPU"
    expected = InferenceSession(MODEL, providers=[CPU]).run(None, {"x": rows(4)})[0]
    for _ in range(4):
        np.testing.assert_allclose(opened.run(rows(4)), expected, atol=1e-6)
    assert opened.session.why_not == "no CUDA graph can be recorded: nodes on the CPU"
    assert (len(opened.sizes), opened.session.graphs) == (1, 0)


def test_no_rows_and_texts_are_not_recorded(opened: Opened) -> None:
    """There is nothing to launch, or nothing that a device can hold."""
    assert [opened.run(rows(0)).shape for _ in range(3)] == [(0, 4)] * 3
    length = helper.make_node("StringNormalizer", ["x"], ["y"])
    ends = [value("x", ["n"], TensorProto.STRING)], [value("y", ["n"], TensorProto.STRING)]
    texts = Opened(model([length], *ends).SerializeToString())
    for _ in range(3):
        assert texts.session.run(None, {"x": np.array(["a"], object)})[0].tolist() == ["a"]
    assert (opened.sizes, texts.sizes) == ([], [])


def test_bad_inputs_are_refused_as_ever(opened: Opened) -> None:
    """The runtime says it, and rows that fit run afterwards."""
    opened.run(rows(4))
    for _ in range(2):
        with pytest.raises(Exception, match=r"(?i)invalid"):
            opened.run(rows(4)[:, :7])
    assert opened.run(rows(4)).shape == (4, 4)


def test_only_wanted_outputs_are_computed() -> None:
    """Each list of outputs is recorded by itself."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"]), helper.make_node("Abs", ["y"], ["z"])]
    ends = [value("x", ["n", 8])], [value("y", ["n", 4]), value("z", ["n", 4])]
    both = Opened(model(nodes, *ends, [weights("w", np.ones((8, 4), np.float32))]).SerializeToString())
    for wanted in (["z"], ["z"], ["z"], ["z", "y"], ["z", "y"], ["z", "y"]):
        found = both.session.run(wanted, {"x": -rows(2)})
        assert len(found) == len(wanted)
        assert (found[0] >= 0).all()
    assert both.session.graphs == 2


def test_threads_take_turns(opened: Opened) -> None:
    """Each gets the outputs of its own rows. One thread of the process opens and runs all that is recorded:
    the runtime keeps graphs by thread."""
    plain = InferenceSession(MODEL, providers=[CPU])
    wrong: list[int] = []

    def work(seed: int) -> None:
        given = rows(4, seed)
        expected = plain.run(None, {"x": given})[0]
        if not all(np.allclose(opened.run(given), expected, atol=1e-6) for _ in range(50)):
            wrong.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (wrong, opened.session.graphs) == ([], 1)
    other = Opened()
    for _ in range(2):
        other.run(rows(2))
    assert len(opened.threads | other.threads) == 1
    assert threading.get_ident() not in other.threads


def test_it_answers_what_a_session_is_asked(opened: Opened) -> None:
    """Its providers, inputs and outputs are those of the session that it stands in for."""
    assert opened.session.get_providers() == [CPU]
    assert [each.name for each in opened.session.get_inputs()] == ["x"]


def test_graphs_are_asked_for_by_the_plan() -> None:
    """Only sessions of fixed sizes have them; where CUDA is missing the reason names it."""
    assert "enable_cuda_graph" not in provider_options(CUDA, 1)
    options: Any = provider_options(CUDA, 1, tf32=True, cuda_graph=True)
    assert options == {"use_tf32": "1", "enable_cuda_graph": "1"}
    session = with_graphs(InferenceSession(MODEL, providers=[CPU]), "m", MODEL, SessionPlan(CUDA))
    for _ in range(2):
        session.run(None, {"x": rows(2)})
    assert f"on {CUDA}, which this runtime does not have" in (session.why_not or "")
