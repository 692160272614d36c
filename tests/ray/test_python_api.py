"""The Python API as a program in a Ray job uses it, on a cluster of three raylets."""

from __future__ import annotations

import asyncio
import os
import signal
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
import ray

from helix_ray import cluster as hx
from helix_ray.cluster.api import Cluster
from helix_ray.core.access import SYSTEM
from helix_ray.core.errors import Refused
from helix_ray.core.events import subject_of
from helix_ray.core.questions import Counts, GetTask, ListTasks
from helix_ray.digits import as_image, held_out
from helix_ray.inference.onnx import ModelStore
from tests.ray.conftest import LiveCluster, as_a_job
from tests.ray.signals import until

WAIT_S = 60.0


@pytest.fixture(scope="module")
def helix(cluster: LiveCluster) -> Iterator[Cluster]:
    """A connection from this process, which is a driver of the cluster."""
    with hx.connect() as connected:
        yield connected


class NoPaper(Exception):
    """An exception of this module, which executors cannot import."""

    def __init__(self, tray: int) -> None:
        super().__init__(tray)
        self.tray = tray


def square(n: int) -> int:
    return n * n


def jam(tray: int) -> None:
    raise NoPaper(tray)


@hx.function(cpu=1, max_retries=0)
def where(_: int = 0) -> str:
    import ray

    return str(ray.get_runtime_context().get_node_id())


def test_functions_of_this_program_run_elsewhere(helix: Cluster) -> None:
    """A function that no executor can import travels by value, and its value comes back as an object."""
    assert helix.submit(square, 12).result(WAIT_S) == 144
    assert helix.submit(lambda: {1, 2}).result(WAIT_S) == {1, 2}
    assert (helix.submit(np.arange, 3).result(WAIT_S) == [0, 1, 2]).all()


def test_a_job_and_a_node_are_the_authors_of_what_they_do(cluster: LiveCluster, helix: Cluster) -> None:
    """The task belongs to the Ray job; what the node reports is the node's; the system placed it."""
    handle = helix.submit(square, 3)
    assert handle.result(WAIT_S) == 9
    task = cluster.ask(GetTask(handle.id))
    job = f"job:{ray.get_runtime_context().get_job_id()}"
    assert task["owner"] == job
    after = max(0, cluster.ask(Counts())["seq"] - 1000)
    facts = cluster.run(lambda plane: plane.events(after, 1000, SYSTEM)).facts
    authors = {type(fact.event).__name__: fact.actor for fact in facts if subject_of(fact.event) == handle.id}
    assert authors == {
        "TaskSubmitted": job, "TaskAssigned": "system", "TaskCompleted": task["assigned_worker"]
    }  # fmt: skip


def test_exceptions_come_back_as_they_were_raised(helix: Cluster) -> None:
    """The class is the one of this process, its fields are there, a note has the remote traceback."""
    with pytest.raises(NoPaper) as caught:
        helix.submit(jam, 2).result(WAIT_S)
    assert caught.value.tray == 2
    assert "jam" in caught.value.__notes__[0]


def test_a_decorated_function_maps_over_the_nodes(helix: Cluster) -> None:
    """A map gives a value for every item; it ran on real nodes of this cluster."""
    import ray

    alive = {node["NodeID"] for node in ray.nodes() if node["Alive"]}
    assert set(where.map(range(60))) <= alive
    assert list(helix.map(square, range(1000), cpu=0.5)) == [n * n for n in range(1000)]


def slice_of(numbers: list[int], repeat: int) -> np.ndarray[Any, Any]:
    import helix_ray

    index, count = helix_ray.shard()
    return np.repeat(numbers[index::count], repeat)


def test_shards_know_which_they_are_and_come_back_in_order(helix: Cluster) -> None:
    """Each runs as a task of its own; parts that stayed in the object store are fetched from their nodes."""
    sums = [values.sum() for values in helix.submit(slice_of, [1, 2, 3], 1, shards=3).result(WAIT_S)]
    assert sums == [1, 2, 3]
    large = helix.submit(slice_of, [1, 2, 3], 20_000, shards=3, gang=True, cpu=0.5)
    assert [values.sum() for values in large.result(WAIT_S)] == [20_000, 40_000, 60_000]
    assert all(part["stored"] == "object_store" for part in large.outcome()["result"]["shards"])


def test_commands_give_their_output_and_logs(helix: Cluster) -> None:
    """A command's value has exit code and output, its logs have all of it; a bad exit code is a failure."""
    handle = helix.command("echo out; echo err >&2", env={"A": "1"})
    assert handle.result(WAIT_S)["exit_code"] == 0
    assert sorted(handle.logs().split()) == ["err", "out"]
    with pytest.raises(hx.TaskFailedError) as caught:
        helix.command(["sh", "-c", "echo bad; exit 3"]).result(WAIT_S)
    assert caught.value.result["exit_code"] == 3


def test_logs_can_be_followed(helix: Cluster) -> None:
    """Following gives every line and ends with the attempt."""
    handle = helix.command("for i in 1 2 3; do echo $i; done")
    assert "".join(handle.follow()).split() == ["1", "2", "3"]


def test_inference_takes_arrays(helix: Cluster) -> None:
    """A model runs on a numpy array."""
    images = np.zeros((2, 1, 32, 32), dtype=np.float32)
    result: dict[str, Any] = helix.inference("digits_resnet20", images).result(WAIT_S)
    assert result["success"]
    assert result["provider"]


def test_infer_gives_arrays_of_all_rows_in_order(helix: Cluster) -> None:
    """Those that the model gives here, from three shards; what is said of them is no array."""
    images = as_image(held_out()[0])[:30]
    (expected,) = ModelStore().session("digits_resnet20").run(None, {"image": images})
    for found in (helix.infer("digits_resnet20", images), hx.infer("digits_resnet20", images, shards=3)):
        assert np.allclose(found["logits"], expected, atol=1e-4)
        assert (found.said["rows"], "outputs" in found.said) == (30, False)


def test_large_results_come_from_their_node(helix: Cluster) -> None:
    """A value of 3 MB does not go through the journal."""
    handle = helix.submit(os.urandom, 3_000_000)
    assert len(handle.result(WAIT_S)) == 3_000_000
    assert handle.outcome()["result"]["stored"] == "object_store"


def doubled(array: np.ndarray[Any, Any], _: Any = None) -> np.ndarray[Any, Any]:
    array *= 2
    return array


def test_large_arrays_go_in_and_out_and_can_be_written(cluster: LiveCluster, helix: Cluster) -> None:
    """80 MB each way, by the object store: the journal has a reference, and no limit of it is met."""
    array = np.arange(10_000_000, dtype=np.float64)
    handle = helix.submit(doubled, array)
    value = handle.result(WAIT_S)
    assert (value == array * 2).all()
    value[0] = 1.0
    assert handle.outcome()["result"]["stored"] == "object_store"
    assert len(cluster.ask(GetTask(handle.id))["run"].get("payload") or "") < 10_000
    assert asyncio.run(_submitted(helix, array)) == array.sum()


async def _submitted(helix: Cluster, array: np.ndarray[Any, Any]) -> float:
    handle = await helix.submit_async(np.sum, array)
    return float(await handle)


def test_arguments_outlive_the_program_that_gave_them(
    cluster: LiveCluster, helix: Cluster, tmp_path: Path
) -> None:
    """A task of a program that has ended runs with its large arguments, which go when it has completed."""
    script = tmp_path / "job.py"
    script.write_text(
        textwrap.dedent(
            """
            import time
            import helix_ray as hx
            import numpy as np

            def total(gate, array):
                import os, time
                while not os.path.exists(gate):
                    time.sleep(0.02)
                return float(array.sum())

            with hx.connect() as cluster:
                print(cluster.submit(total, GATE, np.ones(2_000_000)).id)
            """
        ).replace("GATE", repr(str(tmp_path / "gate")))
    )
    ended = as_a_job(cluster, script)
    assert ended.stdout.startswith("task-"), ended.stderr[-2000:]
    (tmp_path / "gate").touch()
    assert helix.handle(ended.stdout.strip()).result(WAIT_S) == 2_000_000.0


def first_of(references: list[Any]) -> Any:
    import ray

    return ray.get(references[0])


def reference_to(value: Any) -> Any:
    import ray

    return ray.put(value)


class Owner:
    """Makes objects that end with it."""

    def make(self) -> list[Any]:
        return [ray.put(5)]


def is_lost(reference: Any) -> bool:
    """Say whether Ray knows that the owner is gone, and has freed the copies of its object."""
    try:
        ray.get(reference, timeout=WAIT_S)
    except ray.exceptions.ObjectLostError:
        return True
    return False


def test_references_to_objects_arrive_as_ray_passes_them(helix: Cluster) -> None:
    """An argument, by place or by name, is the object; one inside another argument stays a reference. What
    ends with its process, a result or an object whose owner is gone, is said by name and waits for nobody."""
    reference = ray.put(21)
    assert helix.submit(square, reference).result(WAIT_S) == 441
    assert helix.submit(square, kwargs={"n": reference}).result(WAIT_S) == 441
    assert helix.submit(first_of, [reference]).result(WAIT_S) == 21
    assert helix.submit(lambda: first_of([reference])).result(WAIT_S) == 21
    with pytest.raises(hx.TaskFailedError, match=r"a ray\.ObjectRef cannot be returned"):
        helix.submit(reference_to, 1).result(WAIT_S)
    owner = ray.remote(num_cpus=0)(Owner).remote()
    (lost,) = ray.get(owner.make.remote())
    ray.kill(owner)
    # A copy in the object store outlives its owner until Ray frees it, and is then the object.
    until(lambda: is_lost(lost))
    handle = helix.submit(square, lost, max_retries=3)
    with pytest.raises(hx.TaskFailedError, match="whose object is gone"):
        handle.result(WAIT_S)
    assert (handle.outcome()["error"]["reason"], handle.view()["attempt"]) == ("arguments_lost", 1)


def test_waiting_streaming_cancelling(helix: Cluster) -> None:
    """`as_completed` streams, `cancel` ends a running task, `wait` separates done from not done."""
    handles = [helix.submit(square, n) for n in range(20)]
    assert sorted(h.result() for h in hx.as_completed(handles, WAIT_S)) == [n * n for n in range(20)]
    stuck = helix.command("while true; do read -r line < /dev/zero; done", timeout_s=300)
    done, open_ = hx.wait([*handles, stuck], timeout=0.1)
    assert (len(done), open_) == (20, {stuck})
    assert stuck.cancel()
    with pytest.raises(hx.TaskCancelledError):
        stuck.result(WAIT_S)


def test_handles_can_be_awaited(helix: Cluster) -> None:
    """Async programs await handles."""

    async def main() -> list[int]:
        handles = [await helix.submit_async(square, n) for n in range(5)]

        async def value(handle: hx.Handle) -> int:
            result: int = await handle
            return result

        return await asyncio.gather(*map(value, handles))

    assert asyncio.run(main()) == [0, 1, 4, 9, 16]


def test_a_killed_master_is_latency_only(cluster: LiveCluster, helix: Cluster) -> None:
    """Submits and waits over a kill -9 of the master give every value once, and raise nothing."""
    handles = [helix.submit(square, n) for n in range(20)]
    os.kill(cluster.master_pid(), signal.SIGKILL)
    handles += [helix.submit(square, n) for n in range(20, 40)]
    assert [handle.result(WAIT_S) for handle in handles] == [n * n for n in range(40)]


def test_refusals_name_their_reason(helix: Cluster) -> None:
    """What the control plane refuses raises Refused from submit."""
    with pytest.raises(Refused, match="Invalid task type"):
        helix.submit(square, 1, type="poetry")


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def speaks_oddly(_: int) -> str:
    """Say what is no Unicode wherever a task can say something, and fail with it."""
    import helix_ray

    helix_ray.progress(50, note="half of caf\udce9")
    print("caf\udce9")
    raise OSError("no such file: caf\udce9")


def test_odd_values_are_refused_or_end_their_task(cluster: LiveCluster, helix: Cluster) -> None:
    """What is no Unicode is refused by its field; what a task says of it comes escaped; deep objects come
    back. No task runs for ever, and every listing can be written."""
    with pytest.raises(Refused, match=r"run\.argv\.2"):
        helix.command(["wc", "-l", "caf\udce9.txt"])
    with pytest.raises(Refused, match="title"):
        helix.command(["true"], title="caf\udce9")
    with pytest.raises(Refused, match="nested deeper than 100 levels"):
        helix.inference("digits_resnet20", nested(100_000))
    handles = [helix.submit(nested, levels) for levels in (252, 253, 254, 255)]
    said, bytes_ = helix.submit(speaks_oddly, 1), helix.command(["printf", "caf\\351"])
    assert [handle.result(WAIT_S) for handle in handles] == [
        nested(levels) for levels in (252, 253, 254, 255)
    ]
    error = said.exception(WAIT_S)
    assert isinstance(error, OSError)
    assert error.args == ("no such file: caf\udce9",)
    assert "caf\\udce9" in said.logs()
    assert bytes_.result(WAIT_S)["output"] == "caf\ufffd"
    task = cluster.ask(GetTask(said.id))
    assert task["error"]["message"] == "no such file: caf\\udce9"
    assert task["progress_note"] == "half of caf\\udce9"
    orjson.dumps([task, cluster.ask(ListTasks(limit=1000))])


def test_a_program_of_its_own_can_connect(cluster: LiveCluster, tmp_path: Path) -> None:
    """A script beside which a module lies connects by RAY_ADDRESS and uses that module's functions."""
    (tmp_path / "beside.py").write_text("def triple(n):\n    return 3 * n\n")
    script = tmp_path / "job.py"
    script.write_text(
        textwrap.dedent(
            """
            import helix_ray as hx
            import beside

            @hx.function(title="Half")
            def half(n):
                return beside.triple(n) / 2

            with hx.connect() as cluster:
                print(cluster.submit(beside.triple, 5).result(60), half.submit(4).result(60))
            """
        )
    )
    ended = as_a_job(cluster, script)
    assert ended.stdout.split() == ["15", "6.0"], ended.stderr[-2000:]


def test_where_there_is_no_helix_it_says_so(cluster: LiveCluster) -> None:
    """Another namespace has no control plane: connect says so at once."""
    with pytest.raises(hx.ClusterUnavailable, match="helix up"):
        hx.connect(namespace="elsewhere")
