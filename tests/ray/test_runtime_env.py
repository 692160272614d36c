"""Functions in the runtime environment of their job and of their call, on a real cluster."""

from __future__ import annotations

import json
import os
import textwrap
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.experimental.internal_kv import _internal_kv_exists

from helix_ray import cluster as hx
from helix_ray.cluster.api import Cluster
from helix_ray.core.questions import GetTask
from tests.ray.conftest import LiveCluster, as_a_job

WAIT_S = 120.0

PROGRAM = """
    import json, os, sys
    from pathlib import Path
    import ray
    import helix_ray as hx

    def look():
        import beside, extra
        text = Path("data.txt").read_text()
        return [text, beside.TEXT, extra.NAME, os.environ["SHADE"], os.environ["SIZE"]]

    def inherit():
        with hx.connect() as inner:
            return inner.submit(look).result(60)

    with hx.connect(runtime_env={
        "working_dir": ".", "py_modules": [sys.argv[1]], "env_vars": {"SHADE": "blue", "SIZE": "1"},
    }) as cluster:
        found = {
            "job": cluster.submit(look).result(60),
            "ray": ray.get(ray.remote(look).remote()),
            "call": cluster.submit(look, runtime_env={"env_vars": {"SIZE": "2"}}).result(60),
            "inner": cluster.submit(inherit).result(60),
        }
        gate = cluster.command(f"until [ -e {sys.argv[2]} ]; do sleep 0.02; done", cpu=0)
        found["later"] = cluster.submit(look, depends_on=[gate]).id
        found["uris"] = [ray.get_runtime_context().runtime_env["working_dir"]]
        print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def helix(cluster: LiveCluster) -> Iterator[Cluster]:
    """A connection from this process, whose job has no environment."""
    with hx.connect() as connected:
        yield connected


@pytest.fixture
def node(cluster: LiveCluster) -> dict[str, Any]:
    """The options that place a task on one node of two CPUs."""
    first = next(node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU"))
    return {"labels": {"ray.io/node-id": first["NodeID"]}}


def shade() -> list[Any]:

    return [os.environ.get("SHADE"), os.getpid()]


def meet(mine: str, other: str) -> str | None:
    """Return the variable as soon as the other one of two tasks runs as well."""
    from pathlib import Path

    from tests.ray.signals import until

    Path(mine).touch()
    until(Path(other).exists)
    return os.environ.get("SHADE")


def test_a_job_has_its_environment_on_the_nodes(cluster: LiveCluster, tmp_path: Path) -> None:
    """Variables, folder with its modules and data, and further modules: as a raw Ray task has them.

    What a call names is added to it, what a function submits inherits it, and what runs after the program has
    ended has it as well: the uploaded folder outlives its job.
    """
    job, more, gate = tmp_path / "job", tmp_path / "more" / "extra", tmp_path / "gate"
    job.mkdir()
    more.mkdir(parents=True)
    (job / "main.py").write_text(textwrap.dedent(PROGRAM))
    (job / "beside.py").write_text("TEXT = open('data.txt').read().upper()\n")
    (job / "data.txt").write_text("text")
    (more / "__init__.py").write_text("NAME = __name__\n")
    # Ray itself keeps an upload for ten minutes; without that only ours counts.
    pin = {"RAY_RUNTIME_ENV_URI_PIN_EXPIRATION_S": "0"}
    done = as_a_job(cluster, job / "main.py", str(more), str(gate), **pin)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    expected = ["text", "TEXT", "extra", "blue", "1"]
    assert (found["job"], found["ray"], found["inner"]) == (expected, expected, expected)
    assert found["call"] == [*expected[:-1], "2"]
    gate.touch()
    assert cluster.outcomes([found["later"]])[found["later"]]["status"] == "completed"
    assert all(_internal_kv_exists(uri, namespace=None) for uri in found["uris"])
    assert cluster.ask(GetTask(found["later"]))["run"]["runtime_env"] == "***"


def test_a_job_that_has_begun_keeps_its_environment(helix: Cluster) -> None:
    """A connection cannot give it another one, and says where it belongs."""
    with pytest.raises(ValueError, match=r"pass its runtime_env to ray\.init"):
        hx.connect(runtime_env={"env_vars": {"SHADE": "blue"}})


def test_two_environments_run_side_by_side_on_a_node(
    helix: Cluster, node: dict[str, Any], tmp_path: Path
) -> None:
    """Each in a process of its own that its next task finds again; a task without one meets neither."""
    marks = [str(tmp_path / shade) for shade in ("blue", "red")]
    envs: list[dict[str, Any]] = [{"env_vars": {"SHADE": shade}} for shade in ("blue", "red")]
    pair = [
        helix.submit(meet, *places, runtime_env=env, **node)
        for places, env in zip((marks, marks[::-1]), envs, strict=True)
    ]
    assert [handle.result(WAIT_S) for handle in pair] == ["blue", "red"]
    first, second = (helix.submit(shade, runtime_env=envs[0], **node).result(WAIT_S) for _ in range(2))
    assert first == second
    assert first[0] == "blue"
    bare = helix.submit(shade, **node).result(WAIT_S)
    assert bare[0] is None
    assert bare[1] != first[1]


def test_a_wheel_is_installed_for_its_tasks(helix: Cluster, node: dict[str, Any], tmp_path: Path) -> None:
    """In a virtual environment that has everything else as well; without a network."""
    wheel = tmp_path / "tiny-1.0-py3-none-any.whl"
    about = "tiny-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny.py", "NAME = 'from a wheel'\n")
        archive.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")

    def name() -> str:
        import tiny  # type: ignore[import-not-found]

        return str(tiny.NAME)

    pip = {"packages": [str(wheel)], "pip_install_options": ["--no-index", "--disable-pip-version-check"]}
    assert helix.submit(name, runtime_env={"pip": pip}, **node).result(WAIT_S) == "from a wheel"


def test_a_broken_environment_fails_its_tasks_and_nobody_elses(helix: Cluster, node: dict[str, Any]) -> None:
    """At once, with the reason in Ray's words; it is not tried for ever."""
    gone = "gcs://_ray_pkg_0123456789abcdef.zip"
    broken = [
        helix.submit(shade, runtime_env={"working_dir": gone, "env_vars": {"TOKEN": "ba5eba11"}}, **node)
        for _ in range(2)
    ]
    whole = helix.submit(shade, runtime_env={"env_vars": {"SHADE": "green"}}, **node)
    assert whole.result(WAIT_S)[0] == "green"
    for handle in broken:
        with pytest.raises(
            hx.TaskFailedError, match="cannot be set up: Ray no longer has the fold"
        ) as raised:
            handle.result(WAIT_S)
        assert raised.value.error["reason"] == "environment"
        assert gone in str(raised.value.traceback)
        assert "ba5eba11" not in str(raised.value)


def test_a_module_beside_the_program_is_imported_on_the_node(cluster: LiveCluster, tmp_path: Path) -> None:
    """By a function while it runs, also from a package; without an environment."""
    script = tmp_path / "program.py"
    script.write_text(
        textwrap.dedent(
            """
            import helix_ray as hx

            def work(n):
                from tools.maths import double
                return double(n)

            with hx.connect() as cluster:
                print(list(cluster.map(work, [1, 2])))
            """
        )
    )
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "__init__.py").touch()
    (tmp_path / "tools" / "maths.py").write_text("from . import two\ndef double(n): return two.TWO * n\n")
    (tmp_path / "tools" / "two.py").write_text("TWO = 2\n")
    # Not the program's folder: it is found beside the program.
    done = as_a_job(cluster, script, cwd=tmp_path.parent)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[2, 4]"
