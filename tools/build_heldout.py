"""Build helix_ray/models/digits_heldout.npz: the digits that the shipped models never saw.

Run: pip install scikit-learn, then `python tools/build_heldout.py helix_ray/models/digits_heldout.npz`.

The split is the one that tools/build_models.py trains on: a permutation seeded with 0 over scikit-learn's
1,797 digits, of which the first 1,300 are for training and the other 497 are written here.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

TRAINING_IMAGES = 1300
SPLIT_SEED = 0


def held_out() -> tuple[np.ndarray, np.ndarray]:
    """Return (images uint8 [497, 8, 8] with values 0 to 16, labels uint8 [497])."""
    digits = load_digits()
    rows = np.random.RandomState(SPLIT_SEED).permutation(len(digits.target))[TRAINING_IMAGES:]
    return digits.images[rows].astype(np.uint8), digits.target[rows].astype(np.uint8)


def main() -> None:
    """Write the file that the first argument names."""
    path = Path(sys.argv[1])
    images, labels = held_out()
    np.savez_compressed(path, images=images, labels=labels)
    print(f"{path}: {len(labels)} images, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
