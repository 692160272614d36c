"""What the fields of runs and of resources mean: commands, functions, inferences."""

from __future__ import annotations

from typing import Final

FIELDS: Final = {
    "CommandRunIn": {
        "kind": "A command.",
        "argv": "The program and its arguments; null: `shell` is given.",
        "shell": "A line for /bin/sh; null: `argv` is given.",
        "env": "Environment variables by name, whose values are kept secret; null: none.",
        "stdin": "The text of its standard input, kept secret; null: none.",
        "stdin_base64": "The bytes of its standard input in base64, kept secret; null: none.",
        "working_dir": "The folder in which it starts; null: one of its own, HELIX_ATTEMPT_DIR.",
        "timeout_s": "Seconds after which it is stopped; null: never.",
        "kill_grace_s": "Seconds from SIGTERM to SIGKILL when it is stopped; null: HELIX_KILL_GRACE_S.",
        "network": "Whether it has network access; null: it has.",
    },
    "FunctionRunIn": {
        "kind": "A function by name.",
        "function": "The module and the function in it, with a colon between them.",
        "args": "Positional arguments, any JSON; null: none.",
        "kwargs": "Keyword arguments by name, any JSON; null: none.",
        "fresh": "Whether its process runs nothing else; null: false.",
    },
    "InferenceRunIn": {
        "kind": "An inference.",
        "model": "A model, as `name` or `name@version`; `name` alone is the active version or a canary.",
        "inputs": (
            "Values as nested lists or `npy_base64`, alone or by input name, in place of `dataset` and "
            "`input_uri`."
        ),
        "dataset": "The digest of a data set with the rows; null: they are elsewhere.",
        "input_uri": "A file with the rows, `file:///PATH` on the node; null: they are elsewhere.",
        "batch_size": "How many rows are run at once; null: all of them, or 32 of a file.",
        "precision": "The precision in which it must run; null: `auto`, the one measured best.",
        "output": "The form of the outputs; null: `json`.",
        "outputs": "The names of the outputs to return; null: all.",
    },
    "ResourcesIn": {
        "cpu": "Cores.",
        "memory_mb": "Memory in MiB; a command that takes more is ended.",
        "gpu": "GPUs: whole ones, or a fraction of one.",
        "gpu_memory_mb": "Memory of all GPUs of a node together, in MiB.",
        "npu": "NPUs: whole ones, or a fraction of one.",
        "custom": "Amounts of other resources of nodes, by name.",
    },
}
