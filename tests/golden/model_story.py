"""What happens in journal-models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from helix_ray.core import orders as o
from helix_ray.core.access import SYSTEM, Principal
from helix_ray.core.model_records import FileRef, ModelMetadata
from helix_ray.core.specs import InferenceRun

if TYPE_CHECKING:
    from tests.golden.stories import Story


def models(story: Story) -> None:
    """Versions are pushed, examined, tuned and activated; one is rejected, one deleted, and a name goes
    (journal-models)."""
    story.tell(o.CreateUser("ada", "$argon2id$1", ("publisher", "developer")), SYSTEM)
    ada = Principal("user-0000000001", "ada", ("publisher", "developer"))
    labels = {"helix-inference-class": "x86-avx2"}
    node = {"cpu": 4, "memory_mb": 8192}
    story.tell(
        o.RegisterWorker(
            "h", (), node, worker_id="worker-node", kind="node", node_id="n", boot="boot-1", labels=labels
        ),
        SYSTEM,
    )
    files = [FileRef(digest=f"{n}" * 64, bytes=100 + n) for n in range(4)]
    metadata: ModelMetadata = {"licence": "MIT", "labels": {"task": "digits"}, "bounds": {"min_cosine": 0.99}}
    for n in range(4):
        push = o.PushModel(
            name="digits",
            file=files[n],
            calibration=files[3] if n else None,
            metadata=metadata,
            activate=n == 1,
        )
        story.tell(push, ada, f"{ada.id}:{n}")
    # The second push of the third version asks for its activation.
    story.tell(o.PushModel(name="digits", file=files[2], calibration=files[3], activate=True), ada)
    fp32 = {
        "name": "fp32", **files[0], "state": "ready", "reason": None, "arithmetic": "FP32", "gate": None,
    }  # fmt: skip
    gate = {
        "data": "given", "rows": 450, "max_relative_error": 0.02, "min_cosine": 0.9991,
        "top1_agreement": 0.998,
        "accuracy": {"fp32": 0.98, "variant": 0.978, "difference": -0.002, "low": -0.006, "high": 0.002},
        "passed": True,
    }  # fmt: skip
    int8 = {
        "name": "int8-static", "digest": "a" * 64, "bytes": 40, "state": "ready", "reason": None,
        "arithmetic": "INT8", "gate": gate,
    }  # fmt: skip
    report = {
        "success": True, "state": "ready", "reason": None, "inputs": [{"name": "x"}], "outputs": [],
        "opset": 17, "batch": "dynamic", "warnings": [], "variants": [fp32, int8],
    }  # fmt: skip
    rejected = {**report, "state": "rejected", "reason": "signal 11", "variants": []}
    for number, result in (("03", report), ("04", report), ("05", report), ("06", rejected)):
        task_id = f"00000000{number}"
        story.start(task_id)
        story.report(task_id, 1, "completed", result=result)
        story.tell(o.ConcludeModelTask(f"task-{task_id}"), SYSTEM)
    story.tell(o.ActivateModel("digits", 1), ada)
    story.tell(o.RollBackModel("digits"), ada)
    story.tell(o.SetCanary("digits", 2, 12.5), ada)
    story.tell(o.SubmitTuning("digits", 3, "x86-avx2"), SYSTEM)
    (task_id,) = (each for each in story.engine.state.model_tasks)
    choice = {
        "batch": 16, "variant": "int8-static", "provider": "CPUExecutionProvider", "threads": 1,
        "ratio": 1.95, "low": 1.9, "high": 2.0,
    }  # fmt: skip
    tuning = {"machine": {"cpu": "x"}, "choices": [choice], "evidence": {"digest": "b" * 64, "bytes": 7}}
    story.start(task_id.removeprefix("task-"))
    story.report(task_id.removeprefix("task-"), 1, "completed", result={"success": True, **tuning})
    story.tell(o.ConcludeModelTask(task_id), SYSTEM)
    story.tell(o.DeleteModelVersion("digits", 4), ada)
    run: InferenceRun = {"kind": "inference", "model": "digits", "inputs": [[0.0]]}
    story.tell(o.SubmitTasks(({"title": "t", "type": "building", "run": run},)), ada)
    story.tell(o.PushModel(name="gone", file=files[0]), ada)
    story.tell(o.DeleteModel("gone"), ada)
