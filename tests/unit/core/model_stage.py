"""Models on the stage: pushes, reports of examinations, and a publisher."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import Any

from helix_ray.core import orders as o
from helix_ray.core import snapshot
from helix_ray.core.access import SYSTEM, Principal
from helix_ray.core.answers import answer
from helix_ray.core.errors import Rejected
from helix_ray.core.models import NODE_CLASS_LABEL
from tests.cast import slot
from tests.unit.core.stage import Stage

PUBLISHER = Principal("user-pub", "pub", ("publisher", "developer"))
RIVAL = Principal("user-rival", "rival", ("publisher", "developer"))
CLASS = "x86-avx2"
INFERENCE: dict[str, Any] = {"kind": "inference", "model": "digits", "inputs": [[0.0]]}
INPUTS = [{"name": "x", "shape": [None, 1], "dtype": "float32"}]


def file_of(text: str) -> dict[str, Any]:
    """Return the reference to a file with a text."""
    return {"digest": sha256(text.encode()).hexdigest(), "bytes": len(text)}


def gate(**fields: Any) -> dict[str, Any]:
    """Return what a gate measured of a variant that passes."""
    return {
        "data": "given", "rows": 100, "max_relative_error": 0.01, "min_cosine": 0.999, "top1_agreement": 1.0,
        "accuracy": None, "passed": True, **fields,
    }  # fmt: skip


def variant(name: str, **fields: Any) -> dict[str, Any]:
    """Return a variant that passed."""
    passed = {"state": "ready", "reason": None, "arithmetic": "INT8", "gate": gate()}
    return {"name": name, **file_of(name), **passed, **fields}


def examined(file: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Return the result of an examination."""
    variants = [variant("fp32", **file, arithmetic="FP32", gate=None), variant("int8-dynamic")]
    return {
        "success": True, "state": "ready", "reason": None, "inputs": INPUTS, "outputs": [], "opset": 17,
        "batch": "dynamic", "warnings": [], "variants": variants, **fields,
    }  # fmt: skip


def tuned(**fields: Any) -> dict[str, Any]:
    """Return the result of a tuning."""
    choice = {
        "batch": 16, "variant": "int8-dynamic", "provider": "CPUExecutionProvider", "threads": 1,
        "ratio": 1.37, "low": 1.31, "high": 1.42,
    }  # fmt: skip
    machine = {"cpu": "a"}
    return {"success": True, "machine": machine, "choices": [choice], "evidence": file_of("rows"), **fields}


class ModelStage(Stage):
    """A stage with publishers and a node of a class."""

    def __init__(self) -> None:
        super().__init__()
        slot(self.state, PUBLISHER, RIVAL)
        self.add_node(labels={NODE_CLASS_LABEL: CLASS}, resources={"cpu": 4.0, "memory_mb": 8192.0})

    def push(self, text: str = "one", name: str = "digits", by: Principal = PUBLISHER, **fields: Any) -> Any:
        """Push a version; return the receipt's data."""
        return self.give(o.PushModel(name=name, file=file_of(text), **fields), by)

    def run(self, task_id: str, result: dict[str, Any]) -> None:
        """Have the node run a task that the registry made, and conclude it."""
        self.start(task_id)
        self.end(task_id, result=result)
        self.give(o.ConcludeModelTask(task_id), SYSTEM)

    def ready(self, text: str = "one", name: str = "digits", **fields: Any) -> int:
        """Push a version and examine it; return its number."""
        pushed = self.push(text, name, **fields)
        self.run(pushed["examination"], examined(file_of(text)))
        number: int = pushed["version"]
        return number

    def infer(self, model: str = "digits", by: Principal = PUBLISHER) -> str:
        """Submit an inference; return its task's id."""
        run = {"kind": "inference", "model": model, "inputs": [[0.0]]}
        (task_id,) = self.submit({"title": "t", "type": "building", "run": run}, by=by)
        return task_id

    def model_of(self, task_id: str) -> str:
        """Return the model that a task names."""
        run: Any = self.task(task_id).run
        return str(run["model"])

    def ask(self, question: Any, by: Principal) -> Any:
        """Return the answer to a question that must not be refused."""
        reply = answer(self.picture(), question, by)
        assert not isinstance(reply, Rejected), reply
        return reply

    def active(self, name: str = "digits") -> int | None:
        """Return the active version."""
        return self.state.models[name].active


def sound_stage() -> Iterator[ModelStage]:
    """Give a stage, whose state must keep every law and survive a snapshot; a fixture."""
    made = ModelStage()
    yield made
    assert made.sound()
    again = snapshot.load(snapshot.dump(made.state))
    assert (again.models, again.model_tasks, again.model_uses) == (
        made.state.models, made.state.model_tasks, made.state.model_uses,
    )  # fmt: skip
