"""What ONNX Runtime's CPU provider computes a variant with."""

from __future__ import annotations

from collections.abc import Container
from typing import Final

FP32: Final = "FP32"
# Arm: operators that have a kernel in half precision use it, the others are cast.
HALF: Final = "FP16 and FP32"
HALF_FLAG: Final = "asimdhp"
"""The flag of Arm CPUs that compute vectors in half precision. The provider has kernels for these alone: on
x86 it casts FP16 to FP32, also where the CPU has avx512_fp16."""


def cpu_arithmetic(variant: str, flags: Container[str]) -> str:
    """Return it, by the flags of the CPU; `fp16-storage` and `tf32` are computed in FP32 everywhere."""
    if variant.startswith("int8"):
        return "INT8"
    return HALF if variant == "fp16" and HALF_FLAG in flags else FP32
