"""A real executor process, seen from the node worker's end of the socket."""

from __future__ import annotations

import os
import pickle
import time
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import orjson
import pytest

from helix_ray.blobs.store import BlobStore
from helix_ray.core.result_files import contained, file_of_result
from helix_ray.digits import as_rows, held_out
from helix_ray.execution.assignment import Cancel, Finished, GiveBack, Progressed, Run, Started
from helix_ray.inference.outputs import arrays_of


def call(name: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
    return {"kind": "function", "function": name, "args": list(args), "kwargs": kwargs}


def sample(name: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
    return call(f"sample_functions:{name}", *args, **kwargs)


def test_hello_names_the_process(node: Any) -> None:
    """The first message is who is there."""
    assert (node.hello.executor_id, node.hello.pid) == (node.executor_id, node.process.pid)


def test_functions_by_name(node: Any) -> None:
    """Arguments go in and results come out as JSON; async and decorated functions run too."""
    assert node.run("a", call("helix_ray.samples:add", 2, b=3)).result == 5
    assert node.run("b", sample("identity", {"x": [1, None, "ü"]})).result == {"x": [1, None, "ü"]}
    assert node.run("c", sample("answer")).result == 42
    assert node.run("d", sample("wrapped", 1)).result == 2
    assert node.run("e", sample("special", "numpy")).result == {"a": [[0, 2], [3, 5]], "b": 3, "c": [1, None]}
    finished = node.finished("e")
    assert 0 < finished.started_at <= finished.ended_at <= time.time()


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("nan", "result.a[1]: nan cannot be represented in JSON"),
        ("object", "result.a[1]: type object cannot be represented in JSON"),
        ("key", "result.a: key 1 is of type int"),
        ("numpy_nan", "result[0][1]: inf cannot be represented in JSON"),
        ("huge", "result: the integer does not fit in 64 bits"),
    ],
)
def test_results_that_are_no_json(node: Any, kind: str, words: str) -> None:
    """The error names the path and the type."""
    error = node.run("task", sample("special", kind)).error
    assert error.reason == "not_serialisable"
    assert words in error.message


@pytest.mark.parametrize(
    ("run", "reason", "words"),
    [
        (call("os:system", "true"), "not_allowed", "os:system"),
        (sample("_hidden"), "not_allowed", "_hidden"),
        (sample("getpid"), "not_allowed", "only imported there"),
        (sample("missing"), "bad_spec", "missing"),
        (call("sample_functions.identity:x"), "not_allowed", "not on the allow-list"),
        ({"kind": "function", "function": 3}, "bad_spec", "pkg.mod:name"),
        ({"kind": "function", "function": "sample_functions:identity", "args": 3}, "bad_spec", "args"),
        ({"kind": "function", "function": "sample_functions:identity", "extra": 3}, "bad_spec", "extra"),
        ({"kind": "dream"}, "bad_spec", "dream"),
        ({}, "bad_spec", "None"),
    ],
)
def test_refusals(node: Any, run: dict[str, Any], reason: str, words: str) -> None:
    """What may not run, or makes no sense, is refused by name and reason; the executor goes on."""
    error = node.run("task", run).error
    assert error.reason == reason
    assert words in error.message
    assert node.run("next", sample("identity", 1)).result == 1


def test_exceptions_come_back(node: Any) -> None:
    """Type, message, the user's frames only, and the exception itself where it survives pickling."""
    error = node.run("a", call("helix_ray.samples:fail", "broken")).error
    assert (error.reason, error.type, error.message) == ("failed", "ValueError", "broken")
    assert "in fail" in error.traceback
    assert "helix_ray/execution" not in error.traceback
    assert repr(pickle.loads(error.pickled)) == "ValueError('broken')"
    odd = node.run("b", sample("raise_odd")).error
    assert (odd.type, odd.message, odd.pickled) == ("sample_functions.OddError", "code 7", None)
    nested = node.run("c", sample("raise_nested")).error
    assert "KeyError: 'missing'" in nested.traceback
    assert "direct cause" in nested.traceback
    assert node.run("d", sample("leave")).error.type == "SystemExit"
    bad_call = node.run("e", sample("identity", 1, 2, 3)).error
    assert (bad_call.reason, bad_call.type) == ("failed", "TypeError")


def test_payloads_keep_any_object(node: Any) -> None:
    """A closure from inside the cluster runs without the allow-list, and its result comes back as it was."""
    factor = 3
    payload = cloudpickle.dumps((lambda values: {value * factor for value in values}, ([1, 2],), {}))
    outcome = node.run("a", {}, payload=payload)
    assert pickle.loads(outcome.pickled) == {3, 6}
    assert outcome.result is None
    unpicklable = cloudpickle.dumps((lambda: __import__("threading").Lock(), (), {}))
    error = node.run("b", {}, payload=unpicklable).error
    assert error.reason == "not_serialisable"
    assert "type lock cannot be pickled" in error.message
    assert node.run("c", {}, payload=b"garbage").error.reason == "failed"


def test_a_function_finds_the_trace_of_its_task(node: Any) -> None:
    """In TRACEPARENT, while it runs; another one does not."""
    given = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    assert node.run("a", sample("variable", "TRACEPARENT"), traceparent=given).result == given
    assert node.run("b", sample("variable", "TRACEPARENT")).result is None


def test_prints_go_to_the_log(node: Any) -> None:
    """What a function prints is in its own log; one that prints nothing makes no file."""
    outcome = node.run("talks", sample("say", 3))
    text = "line 0\nline 1\nline 2\nno newline at the end"
    assert (outcome.ok, outcome.output_tail, outcome.log_bytes) == (True, text, len(text))
    assert node.run("silent", sample("say_nothing")).log_bytes == 0
    assert os.listdir(node.log_dir) == ["talks.1.log"]
    assert Path(node.log_dir, "talks.1.log").read_text() == text


def test_cancel_of_a_function(node: Any) -> None:
    """The next call of progress raises; another attempt's cancel does nothing."""
    node.submit("a", sample("until_cancelled"))
    node.wait(lambda: node.progress("a"))
    node.send(Cancel("a", 2))
    node.send(Cancel("b", 1))
    node.send(Cancel("a", 1))
    assert node.finished("a").outcome.error.reason == "cancelled"


def test_what_is_not_started_can_be_cancelled_or_given_back(node: Any, folder: Path) -> None:
    """A queued attempt is cancelled at once while another runs; GiveBack returns the
    rest and runs none of them."""
    node.submit("busy", sample("until_cancelled"), timeout_s=600.0)
    node.started("busy")
    queued = tuple(node.assignment(f"q{n}", sample("touch", f"{folder}/q{n}")) for n in range(3))
    node.send(Run(queued))
    node.send(Cancel("q1", 1))
    assert node.finished("q1").outcome.error.reason == "cancelled"
    node.send(GiveBack())
    assert node.wait(lambda: node.returned)[0].attempts == (("q0", 1), ("q2", 1))
    node.send(Cancel("busy", 1))
    node.finished("busy")
    assert not list(folder.glob("q*"))


def test_timeouts_of_functions(node: Any) -> None:
    """A sleeping and a stubborn function are interrupted, from the task's limit or the
    run's own, and work goes on."""
    for task_id, run, limit in (
        ("sleeps", sample("nap", 1000), 0.1),
        ("own limit", sample("nap", 1000) | {"timeout_s": 0.1}, 500),
        ("stubborn", sample("spin_stubborn", 1000), 0.1),
    ):
        outcome = node.run(task_id, run, timeout_s=limit)
        assert outcome.error.reason == "timeout", task_id
        assert outcome.error.message == "timed out after 0.1 s"
    assert node.run("next", sample("identity", 1), timeout_s=60).result == 1
    assert node.run("bad", sample("identity") | {"timeout_s": -1}).error.reason == "bad_spec"


def test_progress_is_throttled_and_the_last_one_arrives(node: Any) -> None:
    """Ten thousand calls make a handful of reports, the last of them before the finish."""
    outcome = node.run("a", sample("count_to", 10_000))
    assert outcome.result == ["a", 1]
    reports = node.progress("a")
    finished = node.finished("a")
    assert len(reports) <= 2 + 5 * (finished.ended_at - finished.started_at)
    assert reports[-1] == Progressed("a", 1, 100.0, "at 10000")
    assert node.items.index(reports[-1]) < node.items.index(finished)


def test_a_result_is_not_held_back_by_the_next_attempt(node: Any) -> None:
    """The report of a finished attempt leaves while the attempt behind it runs."""
    tasks = (
        node.assignment("fast", sample("identity", 1)),
        node.assignment("slow", sample("until_cancelled")),
    )
    node.send(Run(tasks))
    assert node.finished("fast").outcome.ok
    assert not any(isinstance(item, Finished) and item.task_id == "slow" for item in node.items)
    node.send(Cancel("slow", 1))
    node.finished("slow")


def test_inference(node: Any) -> None:
    """A model runs in the executor; a refused input is bad_spec with the words of the model store."""
    images, labels = held_out()
    run = {"kind": "inference", "model": "digits_transformer", "inputs": as_rows(images[:8]).tolist()}
    logits = node.run("a", run).result["outputs"]["logits"]
    assert [row.index(max(row)) for row in logits] == labels[:8].tolist()
    error = node.run("b", run | {"model": "none"}).error
    assert (error.reason, error.type) == ("bad_spec", "ModelNotFound")


def test_rows_are_reported_once_in_a_while(node: Any) -> None:
    """A report is a commit of the master: batches of an inference make one a second, and a short one none."""
    rows = as_rows(held_out()[0])[:200].tolist()
    run = {"kind": "inference", "model": "digits_transformer", "inputs": rows, "batch_size": 1}
    assert node.run("a", run, timeout_s=60).result["rows"] == 200
    finished = node.finished("a")
    assert len(node.progress("a")) <= finished.ended_at - finished.started_at


def test_a_large_result_of_an_inference_is_a_file(node: Any, folder: Path) -> None:
    """The journal gets a reference to it, and how the rows were run; where it cannot be stored the attempt
    fails with the reason."""
    rows = as_rows(held_out()[0][np.arange(800) % 300])
    run = {"kind": "inference", "model": "digits_transformer", "inputs": rows.tolist(), "output": "jsonl"}
    outcome = node.run("large", run, blobs_dir=str(folder / "blobs"))
    file = file_of_result(outcome.result)
    assert file is not None
    assert outcome.blobs == (file["digest"],)
    assert (outcome.result["rows"], "files" in outcome.result) == (800, False)
    stored = b"".join(BlobStore(folder / "blobs").read(file["digest"]))
    result = contained(orjson.loads(stored), "large")
    assert result is not None
    assert (len(stored), arrays_of(result)["logits"].shape) == (file["bytes"], (800, 10))
    assert contained(orjson.loads(stored), "another") is None
    (folder / "file").write_text("no folder")
    error = node.run("nowhere", run, blobs_dir=str(folder / "file")).error
    assert (error.reason, "cannot be stored" in error.message) == ("not_stored", True)


def test_end_of_the_connection_interrupts_a_function(node: Any) -> None:
    """A sleeping function does not keep an executor that nobody listens to."""
    node.submit("a", sample("nap", 1000), timeout_s=600.0)
    node.started("a")
    node.connection.close()
    assert node.process.wait(60) == 0


def test_ten_thousand_functions(node: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Every one of 10,000 no-op functions comes back once, in order; the rate is printed, not judged."""
    names = [f"t{n}" for n in range(10_000)]
    run = call("helix_ray.samples:noop")
    tasks = [node.assignment(name, run) for name in names]
    started = time.perf_counter()
    for first in range(0, len(tasks), 128):
        node.send(Run(tuple(tasks[first : first + 128])))
    node.finished(names[-1])
    rate = len(names) / (time.perf_counter() - started)
    assert [item.task_id for item in node.items if isinstance(item, Finished)] == names
    assert not any(isinstance(item, Started) for item in node.items), "nobody watches them"
    assert all(item.outcome.ok for item in node.items if isinstance(item, Finished))
    with capsys.disabled():
        print(f"\n10,000 no-op functions through one executor: {rate:,.0f}/s")


def test_queued_inferences_of_a_model_are_one_batch(node: Any) -> None:
    """Those that name a batch size: fifteen have their answers and the malformed one its error; a function
    between them is run in its turn."""
    digits = as_rows(held_out()[0])[:16]

    def small(index: int) -> dict[str, Any]:
        rows = digits[index : index + 1].tolist() if index != 7 else [[[0.0] * 8] * 7]
        return {"kind": "inference", "model": "digits_transformer", "inputs": rows, "batch_size": 16}

    tasks = [node.assignment("first", call("helix_ray.samples:add", 1, 1))]
    tasks += [node.assignment(f"i{index}", small(index)) for index in range(16)]
    node.send(Run((*tasks, node.assignment("last", call("helix_ray.samples:add", 2, 2)))))
    assert node.finished("last").outcome.result == 4
    outcomes = {index: node.finished(f"i{index}").outcome for index in range(16)}
    assert [index for index, outcome in outcomes.items() if not outcome.ok] == [7]
    assert "expects [rows, 8, 8]" in outcomes[7].error.message
    assert {outcome.result["batch"] for outcome in outcomes.values() if outcome.ok} == {15}
    assert {outcome.result["rows"] for outcome in outcomes.values() if outcome.ok} == {1}
