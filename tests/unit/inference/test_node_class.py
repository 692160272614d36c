"""Which nodes share their tuning, and what a machine lacks, read from made trees."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from helix_ray.core.cpu_arithmetic import cpu_arithmetic
from helix_ray.inference.node_class import NodeClass, cpu_flags, node_class
from helix_ray.inference.runtime import CPU, CUDA, Runtime, installed_runtime, runtime_problem

CPU_RUNTIME = Runtime("onnxruntime", "1.32.0", (CPU,))
GPU_RUNTIME = Runtime("onnxruntime-gpu", "1.31.1", ("TensorrtExecutionProvider", CUDA, CPU))
XEON = "fpu sse4_2 avx2 avx512f avx512_vnni avx512_bf16 avx_vnni amx_bf16 amx_int8"
H200 = "NVIDIA H200"
VARIANTS = ("fp32", "fp16", "fp16-storage", "tf32", "int8-static")


def machine(root: Path, flags: str = "avx2", *, gpus: int = 0, driver: str = "580.159") -> Path:
    root.mkdir(exist_ok=True)
    cpu = f"processor\t: 0\nmodel name\t: A CPU\nflags\t\t: {flags}\n\nprocessor\t: 1\nmodel name\t: A CPU\n"
    (root / "proc").mkdir(exist_ok=True)
    (root / "proc/cpuinfo").write_text(cpu)
    nvidia = root / "proc/driver/nvidia"
    for index in range(gpus):
        card = nvidia / f"gpus/0000:0{index}:00.0"
        card.mkdir(parents=True)
        (card / "information").write_text(f"Model: \t\t {H200}\nIRQ:   \t\t 35\n")
    if gpus:
        text = f"NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  {driver}  Release\nGCC: 13\n"
        (nvidia / "version").write_text(text)
    return root


def named(root: Path, runtime: Runtime = CPU_RUNTIME, cores: int = 2) -> NodeClass:
    return node_class(root, cores=cores, runtime=runtime)


def test_the_name_says_what_the_class_is(tmp_path: Path) -> None:
    """Short words and a digest of everything, in the form of a label's value."""
    found = node_class(machine(tmp_path / "a", XEON, gpus=1), cores=17, runtime=GPU_RUNTIME)
    assert re.fullmatch(r"(x86-64|aarch64)-amx-16c-h200-ort1\.31\.1-[0-9a-f]{8}", found.name)
    assert len(found.name) <= 63
    assert found.details["gpus"] == [H200]
    assert found.details["driver"] == "580.159"
    flags = ["avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16"]
    assert found.details["flags"] == flags
    assert found.details["providers"] == list(GPU_RUNTIME.providers)


def test_the_class_changes_with_what_decides_the_speed(tmp_path: Path) -> None:
    """Flags, cores by powers of two, GPU, driver, runtime and its version make another class; nothing else
    does."""
    base = named(machine(tmp_path / "base"))
    others = [
        named(machine(tmp_path / "flags", "avx2 avx512_vnni")),
        named(tmp_path / "base", cores=4),
        named(machine(tmp_path / "gpu", gpus=1)),
        named(machine(tmp_path / "two", gpus=2)),
        named(machine(tmp_path / "driver", gpus=1, driver="590.10")),
        named(tmp_path / "base", GPU_RUNTIME),
        named(tmp_path / "base", Runtime("onnxruntime", "1.33.0", (CPU,))),
    ]
    assert len({base.name, *(other.name for other in others)}) == 1 + len(others)
    assert named(tmp_path / "base", cores=3) == base
    assert named(machine(tmp_path / "same", "avx2 fpu hypervisor")).name == base.name
    assert node_class(tmp_path / "gpu", gpus=[], cores=2, runtime=CPU_RUNTIME).name == base.name


def test_a_machine_that_says_nothing_has_a_class(tmp_path: Path) -> None:
    """Arm has numbers where x86 has a name; without any file the class is still stable."""
    (tmp_path / "proc").mkdir()
    text = (
        "processor\t: 0\nFeatures\t: asimd asimdhp asimddp i8mm\nCPU implementer\t: 0x41\nCPU part\t: 0xd4f\n"
    )
    (tmp_path / "proc/cpuinfo").write_text(text)
    arm = named(tmp_path)
    assert (arm.details["cpu"], arm.details["flags"]) == ("0x41 0xd4f", ["asimddp", "asimdhp", "i8mm"])
    assert [cpu_arithmetic(name, cpu_flags(tmp_path)) for name in VARIANTS] == [
        "FP32", "FP16 and FP32", "FP32", "FP32", "INT8",
    ]  # fmt: skip
    assert "-int8-" in arm.name
    assert named(tmp_path / "empty") == named(tmp_path / "empty")


def test_half_precision_on_x86_is_computed_in_single(tmp_path: Path) -> None:
    """Even where the CPU could: the provider has no kernels for it."""
    x86 = cpu_flags(machine(tmp_path, "avx2 avx512_fp16"))
    assert "avx512_fp16" in x86
    assert [cpu_arithmetic(name, x86) for name in VARIANTS] == ["FP32", "FP32", "FP32", "FP32", "INT8"]


@pytest.mark.parametrize(
    ("gpus", "runtime", "installed", "words"),
    [
        ([], CPU_RUNTIME, ["onnxruntime"], None),
        ([H200], GPU_RUNTIME, ["onnxruntime-gpu"], None),
        (
            [H200],
            CPU_RUNTIME,
            ["onnxruntime"],
            "NVIDIA H200 is here, but onnxruntime 1.32.0 is for CPUs only",
        ),
        (
            [H200],
            GPU_RUNTIME,
            ["onnxruntime-gpu", "onnxruntime"],
            "onnxruntime and onnxruntime-gpu are installed into one",
        ),
        ([], None, [], "ONNX Runtime is not installed"),
    ],
)
def test_what_is_wrong_with_the_runtime(
    gpus: list[str], runtime: Runtime | None, installed: list[str], words: str | None
) -> None:
    """A GPU without its runtime, or two runtimes in one folder: what it is and which commands mend it."""
    problem = runtime_problem(gpus, runtime, installed)
    assert (
        (problem is None)
        if words is None
        else (problem is not None and words in problem and "pip" in problem)
    )


def test_the_runtime_is_read_from_its_files(tmp_path: Path) -> None:
    """The one that is imported here agrees with itself; a GPU's is known by its libraries; nothing is
    imported."""
    import onnxruntime

    found = installed_runtime()
    assert found is not None
    assert found.version == onnxruntime.__version__
    assert set(found.providers) <= set(onnxruntime.get_available_providers())
    (tmp_path / "capi").mkdir()
    info = "package_name = 'onnxruntime-gpu'\n__version__ = '1.31.1'\ncuda_version = '13.0'\n"
    (tmp_path / "capi/build_and_package_info.py").write_text(info)
    (tmp_path / "capi/libonnxruntime_providers_cuda.so").touch()
    assert installed_runtime(tmp_path) == Runtime("onnxruntime-gpu", "1.31.1", (CUDA, CPU))
    assert installed_runtime(tmp_path / "none") is None
    program = (
        "import sys\nfrom helix_ray.inference.node_class import node_class\nprint(node_class().name)\n"
        "assert not {'onnxruntime', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=200, cwd=Path(__file__).parents[3])
