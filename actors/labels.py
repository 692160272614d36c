"""The labels of Ray nodes that we use; without Ray, so that the launcher can import it."""

from __future__ import annotations

from collections.abc import Iterable

from helix_ray.core.folder_models import MODELS_LABEL
from helix_ray.core.specs import ISOLATION_LABEL, SIMULATED_LABEL

# With a name a node keeps its worker id when its raylet, or the whole cluster, is restarted.
NODE = "helix-node"
# Of a node of `helix up`: its number on its host.
INDEX = "helix-node-index"
# Capabilities, joined by underscores: a label's value must not contain a comma.
CAPABILITIES = "helix-capabilities"
CAPABILITY_SEPARATOR = "_"
# Names of logical accelerators from `--node-resources`, joined by dots.
SIMULATED = SIMULATED_LABEL
# What keeps commands of this node apart from the control plane (helix_ray/execution/starter/isolation.py).
ISOLATION = ISOLATION_LABEL
# A resource: the memory of all GPUs of a node in MiB, where their driver reports it.
GPU_MEMORY = "gpu_memory_mb"
# What decides how fast a variant of a model is there (helix_ray/inference/node_class.py): nodes with one
# value share what was measured.
INFERENCE_CLASS = "helix-inference-class"
# The models in the node's folder.
MODELS = MODELS_LABEL
# Kubernetes' limit, which is Ray's too.
VALUE_CHARACTERS_MAX = 63


def capabilities_label(declared: Iterable[str], found: Iterable[str]) -> str:
    """Return the label of capabilities, sorted: all that are declared, and those found that still fit."""
    able = {*declared}
    for name in found:
        if len(CAPABILITY_SEPARATOR.join({*able, name})) <= VALUE_CHARACTERS_MAX:
            able.add(name)
    return CAPABILITY_SEPARATOR.join(sorted(able))
