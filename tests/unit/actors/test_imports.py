"""What a process loads stays in its memory: each has nothing in it that it does not use at rest.

Ray loads the class of every actor that a process finds by its name, so whoever calls the master has loaded
its module. tests/e2e/test_lives.py looks at the processes of a real cluster.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

# Of an actor's process, and what it finds by name.
NAMED = ("actors.master", "actors.supervisor", "actors.historian")
HEAVY = (
    "duckdb", "numpy", "onnxruntime", "pydantic", "pydantic_settings", "fastapi", "starlette", "uvicorn",
    "ray.serve",
    "cryptography", "jwt", "argon2", "httpx", "prometheus_client",
)  # fmt: skip
# What only the control plane uses of core: hundreds of classes, which take a tenth of a second to make.
CONTROL = ("state", "orders", "events", "questions")
PROCESSES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "actors of the head": (NAMED, HEAVY),
    "node worker": (("actors.node_worker", *NAMED), HEAVY),
    "supervisor": (("actors.node_care", *NAMED), HEAVY),
    "synced devices": (("actors.sync_devices", *NAMED), HEAVY),
    "executor": (
        ("actors.executor",),
        (
            *HEAVY,
            "sqlite3",
            "helix_ray.config",
            "helix_ray.engine",
            *(f"helix_ray.core.{name}" for name in CONTROL),
        ),
    ),
    "history": (("helix_ray.views.history",), tuple(name for name in HEAVY if name != "duckdb")),
    "Serve's controller": (
        ("serve_app.public_port.serve_seams",),
        ("cryptography", "jwt", "argon2", "duckdb", "prometheus_client", "helix_ray.engine"),
    ),
    "API replica": (
        ("serve_app.deployment", "serve_app.app", *NAMED),
        (
            "duckdb",
            "onnxruntime",
            "httpx",
            "actors.node_worker",
            "helix_ray.execution.executor",
            "serve_app.described",
            "serve_app.docs_page",
        ),
    ),
}


@pytest.mark.parametrize("process", PROCESSES)
def test_a_process_loads_only_what_it_uses_at_rest(process: str) -> None:
    """The modules of each process, loaded in a fresh one, bring none along that is for others."""
    modules, unwanted = PROCESSES[process]
    script = f"import sys\nimport {', '.join(modules)}\nprint([n for n in {unwanted} if n in sys.modules])"
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=200
    )
    assert ran.stdout.strip() == "[]"
