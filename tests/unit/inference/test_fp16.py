"""The ranges of a model's tensors, by which FP16 is judged."""

from __future__ import annotations

import subprocess
import sys

RANGES_OF_MANY = """
import resource
import numpy as np
from onnx import helper
from helix_ray.inference.fp16 import ranges
from tests.unit.inference.onnx_models import model, value

MIB = 2**20
layers, rows = 64, np.full((16, MIB // 4), -3.0, np.float32)  # each tensor has 16 MiB
names = ["x", *(f"t{n}" for n in range(1, layers)), "y"]
nodes = [helper.make_node("Neg", [one], [next_one]) for one, next_one in zip(names, names[1:])]
chain = model(nodes, [value("x", ["n", MIB // 4])], [value("y", ["n", MIB // 4])])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found = ranges(chain, [{"x": rows}])
print(len(found), set(found.values()), (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_the_memory_of_ranges_does_not_grow_with_the_number_of_tensors() -> None:
    """A transformer of 42 MB needed more than 2 GB, because all tensors were kept to the end: FP16 was not
    judged. Here 64 tensors of 16 MiB are a GiB."""
    said = subprocess.run(
        [sys.executable, "-c", RANGES_OF_MANY], capture_output=True, text=True, check=True
    ).stdout.split()
    assert said[:-1] == ["64", "{3.0}"]
    assert int(said[-1]) < 256
