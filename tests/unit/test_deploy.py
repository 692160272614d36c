"""cluster.yaml and deploy/: taken by the schemas that Ray publishes, with the safe settings in place."""

from __future__ import annotations

import importlib
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import ray
import yaml
from jsonschema import Draft7Validator
from ray.autoscaler._private.local.config import prepare_local
from ray.serve.schema import ServeDeploySchema

from launcher.node.cli import _parser

ROOT = Path(__file__).parents[2]
PACKAGES = ("helix_ray", "actors", "serve_app", "launcher")
# What Python and setup.py make.
MADE = {".py", ".pyc", ".so"}
LAUNCHED = ("cluster.yaml", "deploy/aws.yaml", "deploy/gcp.yaml")
# Fields of ray.io/v1 RayService and what is in it, from KubeRay's API reference; None: a
# Kubernetes type, or free.
RAY_SERVICE: dict[str, Any] = {
    "upgradeStrategy": {"type": None},
    "serveConfigV2": None,
    "rayClusterConfig": {
        "rayVersion": None,
        "authOptions": {"mode": None},
        "headGroupSpec": {"rayStartParams": None, "labels": None, "template": None},
        "workerGroupSpecs": {
            "groupName": None,
            "replicas": None,
            "minReplicas": None,
            "maxReplicas": None,
            "rayStartParams": None,
            "labels": None,
            "template": None,
        },
    },
}


def load(name: str) -> Any:
    """Read one file of the launcher."""
    return yaml.safe_load((ROOT / name).read_text())


def service() -> Any:
    """Read the RayService."""
    documents = list(yaml.safe_load_all((ROOT / "deploy/kuberay.yaml").read_text()))
    return next(document for document in documents if document["kind"] == "RayService")


@pytest.mark.parametrize("name", LAUNCHED)
def test_the_launcher_takes_it(name: str) -> None:
    """Every key is one of ray-schema.json, of the right type."""
    schema = json.loads((Path(ray.__file__).parent / "autoscaler/ray-schema.json").read_text())
    errors = [
        f"{list(error.path)}: {error.message}" for error in Draft7Validator(schema).iter_errors(load(name))
    ]
    assert errors == []


def test_the_local_provider_keeps_every_worker() -> None:
    """Ray fills in what it needs: as many workers as there are addresses, never fewer for being idle."""
    config, _ = prepare_local(load("cluster.yaml"))
    (kind,) = config["available_node_types"].values()
    assert kind["min_workers"] == kind["max_workers"] == len(config["provider"]["worker_ips"])


@pytest.mark.parametrize("name", LAUNCHED)
def test_commands_are_ones_that_we_have(name: str) -> None:
    """Flags of `helix node start` are known to it, the head gets the launcher's file,
    and the token is shipped."""
    config = load(name)
    assert config["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    assert any("RAY_AUTH_MODE=token" in line for line in config["setup_commands"])
    for role in ("head", "worker"):
        (line,) = [c for c in config[f"{role}_start_ray_commands"] if " start " in c]
        flags, unknown = _parser().parse_known_args(re.split(r"helix node ", line)[1].split())
        assert (flags.detach, flags.head, unknown) == (True, role == "head", [])
        assert (flags.autoscaling_config is None) == (role == "worker")


def test_five_lines_are_to_be_edited() -> None:
    """As the top of cluster.yaml says."""
    marks = [line for line in (ROOT / "cluster.yaml").read_text().splitlines() if "EDIT" in line]
    assert len([line for line in marks if "five lines" not in line]) == 5


def test_the_ray_service_has_fields_that_there_are() -> None:
    """Names of fields are those of the API, and Serve takes what is for Serve; its builder exists."""
    found = service()
    assert (found["apiVersion"], found["spec"]["rayClusterConfig"]["authOptions"]) == (
        "ray.io/v1",
        {"mode": "token"},
    )
    unknown: list[str] = []

    def walk(value: Any, known: Any, path: str) -> None:
        for each in value if isinstance(value, list) else [value]:
            if isinstance(known, dict):
                unknown.extend(f"{path}.{name}" for name in each if name not in known)
                for name in known:
                    if name in each:
                        walk(each[name], known[name], f"{path}.{name}")

    walk(found["spec"], RAY_SERVICE, "spec")
    assert unknown == []
    config = ServeDeploySchema(**yaml.safe_load(found["spec"]["serveConfigV2"]))
    (application,) = config.applications
    module, _, name = application.import_path.partition(":")
    assert callable(getattr(importlib.import_module(module), name))


def test_every_pod_has_one_data_directory_and_the_head_keeps_it() -> None:
    """The claim is mounted where HELIX_DATA_DIR is."""
    (head,) = service()["spec"]["rayClusterConfig"]["headGroupSpec"]["template"]["spec"]["containers"]
    settings = {variable["name"]: variable.get("value") for variable in head["env"]}
    mounts = {mount["name"]: mount["mountPath"] for mount in head["volumeMounts"]}
    assert settings["HELIX_DATA_DIR"].startswith(mounts["data"])
    assert settings["HELIX_ADMIN_PASSWORD_FILE"].startswith(mounts["secrets"])
    assert "HELIX_ADMIN_PASSWORD" not in settings


def test_a_wheel_has_every_file() -> None:
    """Files beside the modules are in a wheel (deploy/ installs one) only where pyproject.toml names them."""
    named = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    for package in PACKAGES:
        files = {path for path in (ROOT / package).rglob("*") if path.is_file() and path.suffix not in MADE}
        assert files == {path for pattern in named[package] for path in (ROOT / package).glob(pattern)}
