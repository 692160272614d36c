"""What a machine says of the runtime of its models."""

from __future__ import annotations

from helix_ray.inference.runtime import CPU, CUDA, Runtime
from launcher.node.model_runtime import lines


def test_a_gpu_without_its_runtime_is_said_with_the_commands_that_mend_it() -> None:
    """The first line is what there is, the second what is missing; nothing is missing on a machine without
    GPUs."""
    runtime = Runtime("onnxruntime", "1.32.0", (CPU,))
    (said,) = lines([], runtime)
    assert said.startswith("models run with: onnxruntime 1.32.0 (CPU), class ")
    _, missing = lines(["NVIDIA H200"], runtime)
    assert missing == (
        "missing: NVIDIA H200 is here, but onnxruntime 1.32.0 is for CPUs only, so models do not run on it: "
        "pip uninstall -y onnxruntime, then pip install 'onnxruntime-gpu[cuda,cudnn]'"
    )
    (whole,) = lines(["NVIDIA H200"], Runtime("onnxruntime-gpu", "1.31.1", (CUDA, CPU)))
    assert "onnxruntime-gpu 1.31.1 (CUDA, CPU), class " in whole
    assert "-h200-ort1.31.1-" in whole
    (none,) = lines([], None)
    assert none.startswith("missing: ONNX Runtime is not installed")
