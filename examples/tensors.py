"""Turn a picture and a text into tensors, and save them as a data set for `helix model run --dataset`.

Run: python examples/tensors.py digit.pgm "the words of a text" inputs.npz
Then: helix model run digits_resnet20 --dataset inputs.npz --output logits.npy
"""

from __future__ import annotations

import re
import sys
import zlib
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Tensor: TypeAlias = NDArray[Any]

SIDE_PIXELS = 32
TOKENS = 16
VOCABULARY = 30_000
PADDING = 0


def picture(path: Path) -> Tensor:
    """Return a grey picture (PGM, binary) as float32 [1, 1, 32, 32] from 0 to 1, by the nearest pixel."""
    data = path.read_bytes()
    header = re.match(rb"P5\s+(\d+)\s+(\d+)\s+(\d+)\s", data)
    if header is None:
        raise SystemExit(f"{path} is not a binary PGM file")
    width, height, brightest = (int(number) for number in header.groups())
    pixels = np.frombuffer(data, np.uint8, width * height, header.end()).reshape(height, width)
    rows = np.arange(SIDE_PIXELS) * height // SIDE_PIXELS
    columns = np.arange(SIDE_PIXELS) * width // SIDE_PIXELS
    return (pixels[np.ix_(rows, columns)] / brightest).astype(np.float32)[None, None]


def tokens(text: str) -> Tensor:
    """Return the words of a text as int64 [1, 16]: a number for each word, the same wherever it stands."""
    words = re.findall(r"\w+", text.lower())[:TOKENS]
    ids = [1 + zlib.crc32(word.encode()) % (VOCABULARY - 1) for word in words]
    return np.array([ids + [PADDING] * (TOKENS - len(ids))], np.int64)


def main() -> None:
    """Write the data set: an array for each input, by name, with a row for each picture and text."""
    file, text, out = sys.argv[1:]
    np.savez(out, image=picture(Path(file)), tokens=tokens(text))
    print(f"{out}: image {picture(Path(file)).shape}, tokens {tokens(text).shape}")


if __name__ == "__main__":
    main()
