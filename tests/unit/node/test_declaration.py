"""What `ray start` is told of a host: what was found there, what was declared, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from ray._private.label_utils import parse_node_labels_string

from launcher.node.accelerators import Accelerator, find
from launcher.node.declaration import BadDeclaration, declare


def device(root: Path, entry: str, driver: str) -> None:
    """Make a device as the kernel shows it: an entry of a class, whose device has a driver."""
    name = entry.rpartition("/")[2]
    (root / "sys/devices" / name).mkdir(parents=True)
    (root / "sys/bus/drivers" / driver).mkdir(parents=True, exist_ok=True)
    (root / "sys/devices" / name / "driver").symlink_to(root / "sys/bus/drivers" / driver)
    (root / entry).mkdir(parents=True)
    (root / entry / "device").symlink_to(root / "sys/devices" / name)


def test_devices_are_found_by_their_driver(tmp_path: Path) -> None:
    """Known accelerator drivers count, a graphics card's driver does not."""
    device(tmp_path, "sys/class/accel/accel0", "intel_vpu")
    device(tmp_path, "sys/class/drm/renderD128", "i915")
    device(tmp_path, "sys/class/drm/renderD129", "RKNPU")
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/hailo0").touch()
    (tmp_path / "dev/rknpu").touch()
    found = find(tmp_path)
    assert [(a.capability, a.driver) for a in found] == [
        ("intel-npu", "intel_vpu"),
        ("rockchip-npu", "RKNPU"),
        ("hailo-npu", None),
    ]


def test_a_host_without_any_has_its_name_only(tmp_path: Path) -> None:
    """Nothing is invented."""
    declared = declare("host1", (), (), find(tmp_path))
    assert (declared.resources, declared.labels) == ({}, {"helix-node": "host1"})
    assert declared.flags() == ["--labels=helix-node=host1"]


def test_what_is_declared_comes_first_and_says_so() -> None:
    """A number given by hand replaces the one found, and the label tells which it is."""
    found = [Accelerator("/dev/hailo0", "hailo-npu", None)]
    declared = declare("host1", ["camera"], ["NPU=2", "FPGA=0.5"], found)
    assert declare("host1", (), (), [], 81559.0).resources == {"gpu_memory_mb": 81559.0}
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
