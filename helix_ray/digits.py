"""The 497 held-out handwritten digits that come with the models, converted to the models' inputs.

Source and licence of the data: helix_ray/models/NOTICE. Built by tools/build_heldout.py.
"""

from __future__ import annotations

from importlib.resources import files
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Pixels: TypeAlias = NDArray[np.uint8]
Tensor: TypeAlias = NDArray[np.float32]

PIXEL_MAX = 16.0
"""The brightest value of a pixel in the data set."""

RESNET_SIDE_PIXELS = 32


def held_out() -> tuple[Pixels, Pixels]:
    """Return (images uint8 [497, 8, 8] with values 0 to 16, labels uint8 [497])."""
    with files("helix_ray").joinpath("models/digits_heldout.npz").open("rb") as file:
        archive = np.load(file, allow_pickle=False)
        return archive["images"], archive["labels"]


def as_rows(images: Pixels) -> Tensor:
    """Return the input `rows` of digits_transformer: f32 [n, 8, 8], 0 to 1."""
    return (images / PIXEL_MAX).astype(np.float32)


def as_image(images: Pixels) -> Tensor:
    """Return the input `image` of digits_resnet20: f32 [n, 1, 32, 32], 0 to 1, enlarged bilinearly."""
    weights = bilinear_weights(images.shape[-1], RESNET_SIDE_PIXELS)
    large = weights @ (images / PIXEL_MAX) @ weights.T
    return large.astype(np.float32)[:, None]


def bilinear_weights(size_in: int, size_out: int) -> NDArray[np.float64]:
    """Return the matrix [size_out, size_in] that enlarges one axis bilinearly.

    Pixel centres are at half integers and the border repeats, as in PyTorch's bilinear mode with
    align_corners=False. In two dimensions: `weights @ image @ weights.T`.
    """
    position = np.maximum((np.arange(size_out) + 0.5) * size_in / size_out - 0.5, 0.0)
    left = position.astype(np.intp)
    right = np.minimum(left + 1, size_in - 1)
    share = position - left
    weights = np.zeros((size_out, size_in))
    np.add.at(weights, (np.arange(size_out), left), 1.0 - share)
    np.add.at(weights, (np.arange(size_out), right), share)
    return weights
