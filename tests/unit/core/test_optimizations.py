"""What models are said to run with: what the gate let through, and what was chosen for the nodes."""

from __future__ import annotations

from typing import Any

from helix_ray.core import orders as o
from helix_ray.core.access import SYSTEM, Principal
from helix_ray.core.questions import Acceleration
from tests.unit.core.model_stage import (
    CLASS,
    PUBLISHER,
    RIVAL,
    ModelStage,
    examined,
    file_of,
    gate,
    tuned,
    variant,
)

HALF = variant("fp16", arithmetic="FP16")


def told(stage: ModelStage, by: Principal = PUBLISHER) -> dict[str, Any]:
    found: dict[str, Any] = stage.ask(Acceleration(), by)["optimizations"]
    return found


def tune(
    stage: ModelStage, *choices: dict[str, Any], node_class: str = CLASS, flags: tuple[str, ...] = ()
) -> None:
    """Tune the first version of a model with these choices, on a CPU with these flags."""
    stage.give(o.SubmitTuning("digits", 1, node_class), SYSTEM)
    task_id = next(id for id, task in stage.state.model_tasks.items() if task.node_class == node_class)
    stage.run(task_id, tuned(choices=list(choices), machine={"flags": list(flags)}))


def choice(variant: str, batch: int = 16, **fields: Any) -> dict[str, Any]:
    return {**tuned()["choices"][0], "variant": variant, "batch": batch, **fields}


def push(stage: ModelStage, *variants: dict[str, Any]) -> None:
    """Push a version with these variants beside FP32."""
    fp32 = variant("fp32", **file_of("one"), arithmetic="FP32", gate=None)
    pushed = stage.push()
    stage.run(pushed["examination"], examined(file_of("one"), variants=[fp32, *variants]))


def test_a_model_that_nobody_has_tuned_runs_as_it_was_uploaded() -> None:
    """A quantised variant that passed its gate is no quantisation in use."""
    stage = ModelStage()
    push(stage, variant("int8-dynamic"))
    said = told(stage)
    assert (said["quantization"], said["precision"], said["pruning"]) == ("disabled", "FP32", "disabled")
    assert said["quantization_reason"] == "no quantised variant that has passed its gate is in use"
    assert said["models"] == [
        {"model": "digits@1", "variant": "fp32", "precision": "FP32", "compute": "FP32"}
    ]


def test_what_a_class_of_nodes_was_tuned_for_is_in_use_there() -> None:
    """The fastest choice of each batch; of a class without nodes nothing is in use."""
    stage = ModelStage()
    push(stage, variant("int8-dynamic"))
    tune(stage, choice("int8-dynamic", items_per_s=137.0), choice("fp32", items_per_s=100.0))
    said = told(stage)
    assert (said["quantization"], said["quantization_reason"]) == ("enabled", None)
    assert (said["precision"], said["compute"], said["precision_reason"]) == ("INT8", "INT8", None)
    tune(stage, choice("fp32"), node_class="another")
    assert [each["variant"] for each in told(stage)["models"]] == ["int8-dynamic"]


def test_choices_differ_by_batch() -> None:
    """At batch 1 nothing wins, so FP32 is chosen there."""
    stage = ModelStage()
    push(stage, variant("int8-dynamic"))
    tune(stage, choice("fp32", 1), choice("int8-dynamic", 16))
    said = told(stage)
    assert (said["quantization"], said["precision"]) == ("enabled", "FP32")
    assert said["precision_reason"] == "1 of 2 variants in use"


def test_half_precision_on_cpus_computes_in_single_precision() -> None:
    """The file is FP16, the arithmetic is not, and both are said."""
    stage = ModelStage()
    push(stage, HALF)
    tune(stage, choice("fp16"))
    said = told(stage)
    assert (said["precision"], said["compute"]) == ("FP16", "FP32")
    assert said["precision_reason"] == "files are FP16, arithmetic is FP32"


def test_half_precision_on_arm_computes_in_both() -> None:
    """Operators with kernels in half precision use them, where the CPU can."""
    stage = ModelStage()
    push(stage, HALF)
    tune(stage, choice("fp16"), flags=("asimddp", "asimdhp"))
    assert (told(stage)["precision"], told(stage)["compute"]) == ("FP16", "FP16 and FP32")


def test_half_precision_on_a_gpu_is_what_it_says() -> None:
    """The provider computes in FP16."""
    stage = ModelStage()
    push(stage, HALF)
    tune(stage, choice("fp16", provider="CUDAExecutionProvider"))
    assert (told(stage)["precision"], told(stage)["compute"]) == ("FP16", "FP16")


def test_a_variant_that_did_not_pass_is_not_in_use() -> None:
    """Even where somebody's report chose it."""
    stage = ModelStage()
    push(stage, variant("int8-static", gate=gate(passed=False)))
    tune(stage, choice("int8-static"))
    assert (told(stage)["quantization"], told(stage)["precision"]) == ("disabled", "FP32")


def test_models_of_others_are_not_told_of() -> None:
    """Who does not see a model learns nothing of how it runs."""
    stage = ModelStage()
    push(stage, variant("int8-dynamic"))
    tune(stage, choice("int8-dynamic"))
    hidden = told(stage, RIVAL)
    assert (hidden["models"], hidden["quantization"]) == ([], "disabled")
