"""Inferences that no node could run are refused when they are submitted, and not after they have waited."""

from __future__ import annotations

from typing import Any

import pytest

from helix_ray.core import orders as o
from helix_ray.core.access import SYSTEM, Principal
from helix_ray.core.decide.model_runs import HINTS_MAX
from helix_ray.core.folder_models import MODELS_LABEL, NAMES_MAX, models_label
from tests.unit.core.model_stage import (
    INFERENCE,
    PUBLISHER,
    RIVAL,
    ModelStage,
    examined,
    file_of,
    gate,
    sound_stage,
    variant,
)
from tests.unit.core.stage import NODE

stage = pytest.fixture(sound_stage)


def refused(stage: ModelStage, by: Principal = PUBLISHER, **run: Any) -> tuple[str, dict[str, Any]]:
    """Submit an inference that must be refused; return the message and the details."""
    task = {"title": "t", "type": "building", "run": {**INFERENCE, **run}}
    code, message, details = stage.give(o.SubmitTasks((task,)), by)["rejected"]["0"]
    assert code == "VALIDATION_ERROR"
    return message, details


def tell(stage: ModelStage, *names: str) -> None:
    """Have the node of the stage tell the models in its folder."""
    label = models_label(names)
    stage.add_node(labels={} if label is None else {MODELS_LABEL: label})


def test_a_name_that_nothing_has_is_refused_with_those_that_are_near(stage: ModelStage) -> None:
    """Near are only names that the caller may know of; what nobody may see is as what does not exist."""
    stage.ready("one")
    stage.ready("two", name="secret", by=RIVAL)
    tell(stage, "resnet", "transformer")
    message, details = refused(stage, model="digts")
    assert (message, details["near"]) == ("Unknown model digts: did you mean digits?", ["digits"])
    assert refused(stage, model="resnet20")[1]["near"] == ["resnet"]
    hidden, absent = refused(stage, model="secret"), refused(stage, model="secres")
    assert hidden == ("Unknown model secret", {"field": "run.model", "near": []})
    assert absent == ("Unknown model secres", {"field": "run.model", "near": []})
    assert refused(stage, model="secret@1")[0] == "Unknown model version secret@1"
    assert refused(stage, model="digits@7")[0] == "Unknown model version digits@7: digits has digits@1"
    assert stage.model_of(stage.infer("transformer")) == "transformer"


def test_a_node_that_does_not_tell_its_models_may_have_any(stage: ModelStage) -> None:
    """So may nodes that are to come where none lives."""
    tell(stage, *(f"m{number}" for number in range(NAMES_MAX + 1)))
    assert stage.model_of(stage.infer("other")) == "other"
    tell(stage, "m1")
    refused(stage, model="other")
    stage.give(o.LoseWorker(NODE, "silent"), SYSTEM)
    assert stage.model_of(stage.infer("other")) == "other"


def test_a_name_without_an_active_version_is_refused(stage: ModelStage) -> None:
    """As long as its only version is examined; a version that is examined is refused by its state."""
    stage.push()
    assert refused(stage)[0] == "digits has no active version: activate one, or name a version"
    assert refused(stage, model="digits@1")[1]["state"] == "examining"


def test_an_inference_is_done_again_with_its_version(stage: ModelStage) -> None:
    """As long as that is there."""
    stage.ready("one")
    task_id = stage.infer()
    stage.give(o.CancelTask(task_id), PUBLISHER)
    stage.give(o.RetryTask(task_id), PUBLISHER)
    assert stage.model_of(task_id) == "digits@1"


def test_hints_of_one_order_are_few(stage: ModelStage) -> None:
    """A comparison of names takes the master's time: it is made for the first ones."""
    stage.ready("one")
    tell(stage, "m")
    task = {"title": "t", "type": "building", "run": {**INFERENCE, "model": "digts"}}
    rejected = stage.give(o.SubmitTasks((task,) * 10), PUBLISHER)["rejected"].values()
    assert [len(details["near"]) for _, _, details in rejected] == [1] * HINTS_MAX + [0] * (10 - HINTS_MAX)


@pytest.mark.parametrize(
    ("run", "field", "says"),
    [
        (
            {"precision": "int8"},
            "run.precision",
            "no variant in int8 that passed its gate: it has fp32, fp16",
        ),
        ({"outputs": ["logit"]}, "run.outputs", "no output 'logit': its outputs are logits"),
        ({"inputs": {"y": [[0.0]]}}, "run.inputs", "unknown inputs: y; the model's inputs are x"),
        ({"inputs": [[0.0, 1.0]]}, "run.inputs", "expects [?, 1], not [1, 2]"),
        ({"inputs": [["a"]]}, "run.inputs", "expects float32, not text"),
        ({"batch_size": 2}, "run.batch_size", "change each other"),
    ],
)
def test_what_a_version_cannot_run_is_refused(
    stage: ModelStage, run: dict[str, Any], field: str, says: str
) -> None:
    """Of the version that the task would get, by what its examination found."""
    pushed = stage.push()
    variants = [variant("fp32", gate=None), variant("fp16"), variant("int8-static", gate=gate(passed=False))]
    found = examined(file_of("one"), variants=variants, outputs=[{"name": "logits"}], batch="none")
    stage.run(pushed["examination"], found)
    message, details = refused(stage, **run)
    assert (details["field"], details["model"]) == (field, "digits@1")
    assert says in message
    # Without inputs there is nothing to compare: the attempt says that they are missing.
    task = {"title": "t", "type": "building", "run": {"kind": "inference", "model": "digits"}}
    assert stage.submit(task, by=PUBLISHER)
    assert stage.model_of(stage.infer()) == "digits@1"
    task = {
        "title": "t",
        "type": "building",
        "run": {**INFERENCE, "inputs": [[0.0]] * 2},
        "shards": {"count": 2},
    }
    _, message, details = stage.give(o.SubmitTasks((task,)), PUBLISHER)["rejected"]["0"]
    assert (details["field"], "change each other" in message) == ("shards", True)
