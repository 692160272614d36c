"""What `ray start` is told of a host: what was found there, what was declared, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from ray._private.label_utils import parse_node_labels_string

from helix_ray.accelerators.device import Reading
from helix_ray.accelerators.families import families, read_once
from launcher.node.declaration import BadDeclaration, declare, found_as_line
from launcher.up.nodes import plan
from tests.unit.accelerators.tree import Tree


def readings(tree: Tree) -> list[Reading]:
    return read_once(tree.host, families())


def test_devices_are_offered_by_what_they_are(tmp_path: Path) -> None:
    """NPUs that Ray does not count are a resource; GPUs that it may not see are a capability, and their
    memory a resource; what Ray counts itself is not counted twice."""
    tree = Tree(tmp_path)
    tree.device("sys/class/accel/accel0", "intel_vpu", "0000:00:0b.0", vendor="0x8086")
    tree.device(
        "sys/class/drm/card0", "amdgpu", "0000:03:00.0", vendor="0x1002", mem_busy_percent=0,
        mem_info_vram_total=8 << 30,
    )  # fmt: skip
    tree.device("sys/class/drm/renderD129", "RKNPU")
    tree.file("dev/davinci0", "")
    declared = declare("host1", (), (), readings(tree))
    assert declared.resources == {"NPU": 2.0, "gpu_memory_mb": 8192.0}
    able = declared.labels["helix-capabilities"].split("_")
    assert able == ["amd-gpu", "gpu", "intel-npu", "rockchip-npu"]
    found = {entry["capability"]: entry["counted_by"] for entry in declared.as_json()["found"]}
    assert found["ascend-npu"] == "ray"
    line = found_as_line(readings(tree)[0])
    assert line == ("found /sys/class/drm/card0: AMD (amd-gpu), by driver amdgpu, 8192 MiB")


def test_what_is_found_gives_way_to_what_is_declared(tmp_path: Path) -> None:
    """A label is short: a node must not fail to start because of what was found on it."""
    tree = Tree(tmp_path)
    tree.device("sys/class/drm/card0", "amdgpu", "0000:03:00.0", vendor="0x1002")
    long = "c" * 55
    declared = declare("host1", [long], (), readings(tree))
    assert declared.labels["helix-capabilities"] == f"{long}_gpu"


def test_of_the_nodes_of_a_host_the_first_has_its_devices(tmp_path: Path) -> None:
    """Three raylets must not offer one NPU three times; a logical one replaces the real one."""
    tree = Tree(tmp_path)
    tree.file("dev/hailo0", "")
    first, second = plan(2, [], readings(tree), ("camera",))
    assert (first.resources, second.resources) == ({"NPU": 1.0}, {})
    assert first.labels["helix-capabilities"] == "camera_hailo-npu"
    assert second.labels["helix-capabilities"] == "camera"
    logical = plan(1, [{"NPU": 4.0}], readings(tree))[0]
    assert (logical.resources, logical.labels["helix-simulated"]) == ({"NPU": 4.0}, "NPU")
    assert "helix-capabilities" not in logical.labels


def test_a_host_without_any_has_its_name_only(tmp_path: Path) -> None:
    """Nothing is invented."""
    declared = declare("host1", (), (), readings(Tree(tmp_path)))
    assert (declared.resources, declared.labels) == ({}, {"helix-node": "host1"})
    assert declared.flags() == ["--labels=helix-node=host1"]


def test_what_is_declared_comes_first_and_says_so(tmp_path: Path) -> None:
    """A number given by hand replaces the one found, and the label tells which it is."""
    tree = Tree(tmp_path)
    tree.file("dev/hailo0", "")
    declared = declare("host1", ["camera"], ["NPU=2", "FPGA=0.5"], readings(tree))
    assert declared.resources == {"NPU": 2, "FPGA": 0.5}
    assert declared.declared == ("FPGA", "NPU")
    flags = dict(flag.removeprefix("--").split("=", 1) for flag in declared.flags())
    assert parse_node_labels_string(flags["labels"]) == {
        "helix-node": "host1",
        "helix-capabilities": "camera_hailo-npu",
        "helix-declared": "FPGA.NPU",
    }


@pytest.mark.parametrize(
    ("name", "capabilities", "resources", "said"),
    [
        ("Host 1", [], [], "is not a valid node name"),
        ("host1", ["two_words"], [], "--capability two_words"),
        ("host1", [], ["NPU"], "NAME=AMOUNT"),
        ("host1", [], ["NPU=-1"], "NAME=AMOUNT"),
        ("host1", [], ["CPU=4"], "set CPU with Ray's option --num-cpus"),
        ("host1", ["c" * 64], [], "exceed 63 characters"),
    ],
)
def test_what_cannot_be_is_refused(
    name: str, capabilities: list[str], resources: list[str], said: str
) -> None:
    """Before Ray sees it, with a sentence."""
    with pytest.raises(BadDeclaration, match=said):
        declare(name, capabilities, resources, [])
