"""What a tuning is given."""

from __future__ import annotations

from typing import Any

import pytest

from helix_ray.core import orders as o
from helix_ray.core.access import SYSTEM
from helix_ray.core.models import NODE_CLASS_LABEL
from tests.unit.core.model_stage import CLASS, ModelStage, file_of


@pytest.fixture
def stage() -> ModelStage:
    return ModelStage()


def test_a_tuning_brings_rows_and_bounds_and_asks_for_the_gpu_of_its_class(stage: ModelStage) -> None:
    """Without held-out rows those that calibrated compare the machines; logical GPUs are none, beside which
    a node may have other logical resources."""
    rows = file_of("rows")
    stage.ready("one", calibration=rows, metadata={"bounds": {"min_cosine": 0.5}})
    said = {"gpu": {}, "beside": {"helix-simulated": "NPU"}, "logical": {"helix-simulated": "NPU.GPU"}}
    for name, labels in said.items():
        offer = {"cpu": 4.0, "memory_mb": 8192.0, "gpu": 1.0}
        stage.add_node(f"worker-{name}", labels={NODE_CLASS_LABEL: name, **labels}, resources=offer)
    specs = {}
    for node_class in (CLASS, *said):
        stage.give(o.SubmitTuning("digits", 1, node_class), SYSTEM)
        specs[node_class] = stage.task([*stage.state.model_tasks][-1]).spec
    run: Any = specs["gpu"]["run"]
    assert (run["heldout"], run["bounds"]) == (rows["digest"], {"min_cosine": 0.5})
    assert rows in run["files"]
    assert [specs[each].get("resources", {}).get("gpu") for each in specs] == [None, 1.0, 1.0, None]
