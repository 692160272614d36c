"""Push a model of digits with rows that calibrate it, and run it on rows that did not: in the fastest variant
that stays accurate, over as many shards as are asked for.

Run: HELIX_PASSWORD=admin123 python examples/digits.py digits_resnet20 4
(HELIX_URL: http://localhost:8080, HELIX_USERNAME: admin)
"""

from __future__ import annotations

import os
import sys
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from helix_ray.client import Client, runs
from helix_ray.digits import as_image, as_rows, held_out
from helix_ray.inference.outputs import arrays_of

URL = os.environ.get("HELIX_URL", "http://localhost:8080")
USERNAME = os.environ.get("HELIX_USERNAME", "admin")
CALIBRATES = 97
WAIT_S = 300
# What each model calls its input, and how it takes a digit.
INPUTS = {"digits_resnet20": ("image", as_image), "digits_transformer": ("rows", as_rows)}


def push(helix: Client, model: str, folder: Path) -> str:
    """Push a model of the package, show what was found out, and return the digest of its data set."""
    name, as_input = INPUTS[model]
    images, labels = held_out()
    rows = as_input(images)
    calibration, judged, data = (folder / f"{each}.npz" for each in ("calibration", "heldout", "rows"))
    others: dict[str, Any] = {name: rows[CALIBRATES:]}
    some: dict[str, Any] = {name: rows[:CALIBRATES]}
    np.savez(calibration, **some)
    np.savez(judged, labels=labels[CALIBRATES:], **others)
    np.savez(data, **others)
    onnx = folder / f"{model}.onnx"
    onnx.write_bytes(files("helix_ray").joinpath(f"models/{model}.onnx").read_bytes())
    pushed = helix.push_model(onnx, model, calibration=calibration, heldout=judged, activate=True)
    version = helix.wait_for_model(model, pushed["version"], WAIT_S)
    if version["state"] != "ready":
        raise SystemExit(f"{model}@{version['version']} is {version['state']}: {version['reason']}")
    for variant in version["variants"]:
        print(f"{variant['name']}: {variant['state']}", variant["reason"] or "")
    return helix.push_dataset(data)["digest"]


def main() -> None:
    """Push the model, run it, and compare its digits with those that people have read."""
    model, shards = sys.argv[1], int(sys.argv[2])
    labels = held_out()[1][CALIBRATES:]
    with Client(URL) as helix, TemporaryDirectory() as folder:
        helix.login(USERNAME, os.environ["HELIX_PASSWORD"])
        run = runs.inference(model, dataset=push(helix, model, Path(folder)), output="npy", batch_size=64)
        task = helix.submit(f"read {len(labels)} digits", run=run, shards={"count": shards})
        helix.wait(task["id"], WAIT_S)
        ended = helix.result(task["id"])
    if ended["status"] != "completed":
        raise SystemExit(f"{task['id']} {ended['status']}: {ended['error']}")
    read = np.argmax(arrays_of(ended["result"])["logits"], axis=1)
    print(f"rows by variant: {ended['result']['precisions']}")
    print(f"{np.mean(read == labels):.1%} of {len(labels)} digits are right")


if __name__ == "__main__":
    main()
