"""The runtime environment of a call: the job's with its own, in the spec of its task, and refused where
executors cannot have it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from helix_ray.cluster.api import Cluster
from helix_ray.cluster.environments import (
    HOOK_FUNCTION,
    KEEP_AGAIN_S,
    RUNTIME_ENV_BYTES_MAX,
    Environments,
    merged,
)
from helix_ray.core.access import SYSTEM
from helix_ray.core.questions import GetTask
from helix_ray.core.secrets import MASK
from helix_ray.execution.runtime_env import HOOK_VARIABLE
from tests.unit.cluster.memory_links import links_of

CODE = "gcs://_ray_pkg_0123456789abcdef.zip"
MORE = "gcs://_ray_pkg_fedcba9876543210.zip"
JOB = {"env_vars": {"A": "1", "B": "1"}, "working_dir": CODE}


def text_of(job: dict[str, Any], own: dict[str, Any] | None = None) -> str | None:
    """Return the environment of one call."""
    return Environments(job).text(own, lambda _: None)


def test_environments_are_merged_as_ray_merges_them() -> None:
    """Variables one by one, everything else as a whole; null takes a field away."""
    own = {"env_vars": {"B": "2"}, "working_dir": MORE, "pip": ["x"]}
    assert merged(JOB, own) == {"env_vars": {"A": "1", "B": "2"}, "working_dir": MORE, "pip": ["x"]}
    assert merged(JOB, {}) == JOB
    assert merged(JOB, {"working_dir": None}) == {"env_vars": JOB["env_vars"]}
    assert merged(JOB, {"env_vars": None}) == {"working_dir": JOB["working_dir"]}
    assert merged({}, {}) == {}


def test_the_same_environment_is_the_same_text() -> None:
    """Executors are shared by it: it must not depend on the order of the fields, nor on who named them."""
    first = text_of(JOB)
    assert first == text_of(dict(reversed(JOB.items()))) == text_of(JOB, {}) == text_of({}, JOB)
    assert first is not None
    assert json.loads(first) == JOB
    assert text_of(JOB, {"env_vars": {"A": "2"}}) != first
    assert text_of({}) is None
    assert text_of({}, {}) is None
    assert text_of({"excludes": ["x"], **JOB}) == first


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "container": ({"container": {"image": "x"}}, "has container, which is not supported: .*on the node"),
    "image_uri": ({"image_uri": "x"}, "has image_uri, which is not supported"),
    "nsight": ({"_nsight": "default"}, "has nsight, which is not supported: .*profiler"),
    "java_jars": ({"java_jars": ["s3://x.jar"]}, "has java_jars, which is not supported"),
    "mpi": ({"mpi": {"args": []}}, "has mpi, which is not supported: use env_vars, working_dir"),
    "a hook of the job": ({"env_vars": {HOOK_VARIABLE: f"{HOOK_FUNCTION}x"}}, "hook is a function"),
    "too large": ({"env_vars": {"A": "x" * RUNTIME_ENV_BYTES_MAX}}, "the limit is 32768"),
}


@pytest.mark.parametrize(("fields", "words"), REFUSED.values(), ids=REFUSED.keys())
@pytest.mark.parametrize("place", ["job", "call"])
def test_what_executors_cannot_have_is_refused_by_name(
    fields: dict[str, Any], words: str, place: str
) -> None:
    """At submit, whether it is the job's or the call's."""
    with pytest.raises(ValueError, match=words):
        text_of(fields) if place == "job" else text_of({}, fields)


@pytest.mark.parametrize(
    "own",
    [
        {"working_dir": "."},
        {"py_modules": [MORE, "lib"]},
        {"worker_process_setup_hook": "module.function"},
        {"working_dir": 3},
    ],
)
def test_a_call_names_archives_and_uploads_nothing(own: dict[str, Any]) -> None:
    """As with Ray; the refusal says where a folder can be passed."""
    with pytest.raises(ValueError, match=r"helix_ray\.connect or ray\.init"):
        text_of(JOB, own)


def test_what_is_no_environment_is_refused() -> None:
    """And what Ray itself refuses of one."""
    with pytest.raises(TypeError, match="runtime_env must be a dict, not str"):
        text_of({}, "x")  # type: ignore[arg-type]

    def refuse(fields: dict[str, Any]) -> dict[str, Any]:
        raise ValueError(f"Ray takes no {fields['pip']}")

    with pytest.raises(ValueError, match="Ray takes no x"):
        Environments(JOB, refuse).text({"pip": "x"}, lambda _: None)


def test_packages_are_kept_again_after_a_while() -> None:
    """Not with every call: one in an hour is enough for a day."""
    now = [0.0]
    kept: list[Sequence[str]] = []
    environments = Environments(JOB, clock=lambda: now[0])
    for at in (0.0, 1.0, KEEP_AGAIN_S - 1.0, KEEP_AGAIN_S):
        now[0] = at
        environments.text(None, kept.append)
    environments.text({"py_modules": [MORE, "s3://bucket/x.zip"]}, kept.append)
    assert kept == [[CODE], [CODE], [MORE]]


def test_each_task_has_its_environment_and_nobody_is_shown_it(connect: Callable[..., Cluster]) -> None:
    """Of a submit, a decorated function and a map; a call without one has none."""
    cluster = connect()
    own = {"env_vars": {"TOKEN": "ba5eba11"}}
    handles = [cluster.submit(abs, -1, runtime_env=own), cluster.submit(abs, -1)]
    assert list(cluster.map(abs, [-2], runtime_env=own)) == [2]
    tasks = links_of(cluster).engine.state.tasks
    assert [task.spec["run"].get("runtime_env") for task in tasks.values()] == [
        json.dumps(own), None, json.dumps(own),
    ]  # fmt: skip
    shown = links_of(cluster).engine.query(GetTask(handles[0].id), SYSTEM)
    assert isinstance(shown, dict)
    assert shown["run"]["runtime_env"] == MASK
    assert "ba5eba11" not in repr(list(tasks.values()))


def test_an_environment_is_for_functions(cluster: Cluster) -> None:
    """A command has its own `env` and `working_dir`."""
    with pytest.raises(ValueError, match="runtime_env is an option of functions only"):
        cluster.command("true", runtime_env={"env_vars": {"A": "1"}})


def test_an_environment_of_the_shell_is_named_at_once() -> None:
    """Functions of `uv run --active` would fail a minute later, on a node that does not have it."""
    with pytest.warns(UserWarning, match="uv run --with helix-ray"):
        Environments({"py_executable": "uv run --active"})
    Environments({"py_executable": "uv run --active", "env_vars": {"VIRTUAL_ENV": "/there"}})
    Environments({"py_executable": "uv run --with helix-ray"})
