"""Builds _hashing.c where HELIX_NATIVE=1 asks for it; without it, a wheel fits every platform (ADR 107)."""

import os

from setuptools import Extension, setup

HASHING = Extension(
    "helix_ray.journal._hashing",
    ["helix_ray/journal/_hashing.c"],
    libraries=["crypto"],
    py_limited_api=True,
    # Without a compiler or the headers, everything works, slower.
    optional=True,
)

setup(ext_modules=[HASHING] if os.environ.get("HELIX_NATIVE") == "1" else [])
