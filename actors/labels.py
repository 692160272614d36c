"""Labels of Ray nodes that mean something here; without Ray, so that whoever starts a node can read them."""

from __future__ import annotations

from helix_ray.core.answers.nodes import SIMULATED_LABEL

# By its name a node keeps its worker id when its raylet, or the whole cluster, starts again.
NODE = "helix-node"
# What tasks may require of it, joined by underscores: a label's value takes no comma.
CAPABILITIES = "helix-capabilities"
CAPABILITY_SEPARATOR = "_"
# Names of accelerators that `--node-resources` made up, joined by dots.
SIMULATED = SIMULATED_LABEL
# A resource, in MiB over all GPUs of a node, where their driver tells of it.
GPU_MEMORY = "gpu_memory_mb"
