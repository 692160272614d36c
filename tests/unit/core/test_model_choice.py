"""Which variant a node runs, and which files are brought to it for that."""

from __future__ import annotations

from typing import Any, cast

import pytest

from helix_ray.core.access import SYSTEM
from helix_ray.core.lifecycle import Status
from helix_ray.core.model_choice import CPU, choose, usable_choices
from helix_ray.core.model_records import ChoiceRecord, FileRef, ModelFiles, VariantRecord
from helix_ray.core.models import files_needed_by
from helix_ray.core.orders import CancelTask, UploadDataset
from helix_ray.core.questions import NamedFiles
from helix_ray.core.result_files import referring
from helix_ray.core.specs import InferenceRun
from tests.unit.core.model_stage import ModelStage, file_of
from tests.unit.core.stage import spec


def version(*choices: tuple[int, str]) -> ModelFiles:
    """Return a version with three variants, and what was chosen by batch."""
    names = {"fp32": "a", "int8-static": "b", "fp16-storage": "c"}
    variants = [cast("VariantRecord", {"name": name, "digest": mark * 64}) for name, mark in names.items()]
    measured = [
        cast("ChoiceRecord", {"batch": batch, "variant": variant, "provider": "Fast", "threads": 2})
        for batch, variant in choices
    ]
    return {
        "model": "m", "version": 1, "batch": "dynamic", "node_class": "c", "variants": variants,
        "choices": measured,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("choices", "precision", "rows", "variant", "provider"),
    [
        ((), "auto", 1, "fp32", CPU),
        (((1, "fp32"), (16, "int8-static")), "auto", 15, "fp32", "Fast"),
        (((1, "fp32"), (16, "int8-static")), "auto", 16, "int8-static", "Fast"),
        (((16, "int8-static"),), "auto", 1, "int8-static", "Fast"),
        (((16, "int8-static"),), "fp32", 16, "fp32", CPU),
        (((16, "int8-static"),), "fp16", 16, "fp16-storage", CPU),
        (((1, "fp32"), (16, "int8-static")), "int8", 1, "int8-static", "Fast"),
    ],
)
def test_a_choice_is_by_batch_and_precision(
    choices: Any, precision: str, rows: int, variant: str, provider: str
) -> None:
    """What was measured for the batch next below, or for the smallest one; FP32 where nothing was."""
    chosen = choose(version(*choices), precision, rows)
    assert (chosen.variant["name"], chosen.provider) == (variant, provider)
    assert chosen.measured == (variant in {name for _, name in choices})


def test_a_precision_runs_where_it_was_measured_fastest() -> None:
    """What was measured and not chosen is for tasks that ask for it: on the provider where it is fastest, not
    on the CPU, and it is no choice of `auto`."""
    files = version((1024, "int8-static"))
    for variant, provider, rate in (
        ("fp32", "Fast", 9.0),
        ("fp32", CPU, 1.0),
        ("fp16-storage", "Fast", 99.0),
    ):
        files["choices"].append(
            cast("ChoiceRecord", {
                "batch": 1024, "variant": variant, "provider": provider, "threads": 1, "items_per_s": rate,
                "only_by_name": True,
            })
        )  # fmt: skip
    found = {each: choose(files, each, 1024) for each in ("auto", "fp32", "fp16")}
    named = {each: (chosen.variant["name"], chosen.provider) for each, chosen in found.items()}
    assert named == {
        "auto": ("int8-static", "Fast"), "fp32": ("fp32", "Fast"), "fp16": ("fp16-storage", "Fast"),
    }  # fmt: skip


def measured(*rows: tuple[int, str, str, int, float]) -> list[ChoiceRecord]:
    """Return choices: batch, variant, provider, threads, rows a second."""
    names = ("batch", "variant", "provider", "threads", "items_per_s")
    return [cast("ChoiceRecord", dict(zip(names, row, strict=True))) for row in rows]


def test_a_choice_with_cuda_graphs_says_so() -> None:
    """The session records its runs then."""
    files = version((16, "int8-static"))
    assert not choose(files, "auto", 16).cuda_graph
    files["choices"][0]["cuda_graph"] = True
    assert choose(files, "auto", 16).cuda_graph


CUDA = "CUDAExecutionProvider"
GPU_NODE = measured(
    (1, "int8-static", CPU, 1, 300.0), (1, "int8-static", CPU, 2, 200.0), (1, "tf32", CUDA, 1, 100.0),
    (128, "int8-static", CPU, 1, 400.0), (128, "int8-static", CPU, 2, 700.0), (128, "tf32", CUDA, 1, 9000.0),
)  # fmt: skip


@pytest.mark.parametrize(
    ("demand", "rows", "expected"),
    [
        ({"cpu": 1.0}, 128, ("int8-static", CPU, None)),
        ({"cpu": 8.0}, 128, ("int8-static", CPU, None)),
        ({"cpu": 8.0}, 1, ("int8-static", CPU, 1)),
        ({"cpu": 1.0, "gpu": 1.0}, 128, ("tf32", CUDA, None)),
        ({"cpu": 1.0, "gpu": 0.5}, 1, ("int8-static", CPU, None)),
        ({}, 128, ("int8-static", CPU, None)),
    ],
)
def test_a_task_uses_the_fastest_of_what_it_asked_for(
    demand: dict[str, float], rows: int, expected: tuple[str, str, int | None]
) -> None:
    """A GPU's choices are for tasks that ask for one; the threads of a choice count only where more of them
    were slower, else all of the task's CPUs are used."""
    files = version()
    files["variants"].append(cast("VariantRecord", {"name": "tf32", "digest": None}))
    files["choices"] = usable_choices(GPU_NODE, tuple(demand.items()))
    chosen = choose(files, "auto", rows)
    assert (chosen.variant["name"], chosen.provider, chosen.threads) == expected
    # TF32 is an option of the session: its file is the one of FP32.
    assert chosen.variant["digest"] == ("a" if expected[0] == "tf32" else "b") * 64


def test_only_what_a_node_runs_is_brought_to_it() -> None:
    """The file of one variant, and the data set; none where the precision has no variant."""
    files = version((16, "int8-static"))
    run: InferenceRun = {"kind": "inference", "model": "m@1", "dataset": "d" * 64, "batch_size": 16}
    assert files_needed_by(run, files) == ["b" * 64, "d" * 64]
    assert files_needed_by({**run, "precision": "fp32"}, files) == ["a" * 64, "d" * 64]
    del files["variants"][1]
    assert files_needed_by({**run, "precision": "int8"}, files) == ["d" * 64]
    assert files_needed_by({"kind": "inference", "model": "m", "inputs": [1]}) == []


def test_the_data_sets_of_tasks_that_have_not_ended_are_kept() -> None:
    """They are named as the files of models are; once its task has ended, nothing names one."""
    stage = ModelStage()
    run = {"kind": "inference", "model": "m", "input_uri": f"dataset:{'e' * 64}"}
    stage.give(UploadDataset("e" * 64, 1))
    (task_id,) = stage.submit(spec(run=run))
    assert stage.ask(NamedFiles(), SYSTEM)["digests"] == ["e" * 64]
    stage.give(CancelTask(task_id))
    assert stage.ask(NamedFiles(), SYSTEM)["digests"] == []


def test_the_files_of_results_are_kept_while_their_tasks_are_in_memory() -> None:
    """Those of shards too; what is no such reference names nothing."""
    stage = ModelStage()
    one = {"kind": "inference", "model": "m", "inputs": [[1]]}
    two = {**one, "inputs": [[1], [2]]}
    whole, odd = stage.submit(spec(run=one), spec(run=one))
    sharded, *shards = stage.submit(spec(run=two, shards={"count": 2}))
    files = [referring({"rows": 1}, cast("FileRef", file_of(name))) for name in "abc"]
    ended = [whole, *shards, odd]
    stage.start(*ended)
    for task_id, result in zip(ended, [*files, {**files[0], "digest": "../x"}], strict=True):
        stage.end(task_id, result=result)
    assert stage.task(sharded).status is Status.COMPLETED
    expected = sorted(file["digest"] for file in files)
    assert stage.ask(NamedFiles(), SYSTEM)["digests"] == expected
