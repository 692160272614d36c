"""One prepared run for a machine with an NVIDIA GPU; without one it says so.

What is found there, how busy it is said to be beside what nvidia-smi says, sharing, what the tuner picks,
FP16 over many rows, and distribution. What goes wrong in one part is a note, and costs the others nothing:
time on such a machine is scarce.
"""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import models
from benchmarks.made_transformer import transformer
from benchmarks.processes import ROOT, Helix, helix, scratch
from benchmarks.report import Goal, Line, Report, Series
from benchmarks.scale import Scale
from helix_ray.blobs.store import BlobStore
from helix_ray.client import Client, runs
from helix_ray.digits import as_rows, held_out
from helix_ray.inference.examine import examine
from helix_ray.inference.onnx import DEFAULT_ROOT
from helix_ray.inference.providers import CPU, CUDA
from helix_ray.inference.tune import tune
from helix_ray.inference.tuner import TrialRow, TuningJob, TuningReport, is_reference, named
from helix_ray.inference.variants import ExaminationJob

NAME = "gpu"
TITLE = "a machine with a GPU"
NO_GPU = "no NVIDIA GPU on this machine (nvidia-smi lists none): nothing was measured"
MODEL = "digits_transformer"
LOAD_ROWS = 1024
PINNED_ROWS = 131_072
CAPABILITIES = ("gpu", "ai_acceleration")
# How far our utilization may be from nvidia-smi's, in points: both are means of about a second.
POINTS_MAX = 15.0
MIB = "MiB"
# Of a tuning: the first run of each batch in each session looks for the fastest kernels, and takes seconds.
SECONDS_PER_ROUND = 24.0

Part = tuple[list[Line], list[str]]


@dataclass(frozen=True, slots=True)
class Device:
    """Where the parts run: with which provider, and what a task asks for to get a share of the device."""

    provider: str = CUDA
    resource: str = "gpu"
    capabilities: tuple[str, ...] = CAPABILITIES


def run(scale: Scale) -> Report:
    """Run all parts; without a GPU, say so in one line."""
    if not smi("name"):
        return Report(NAME, TITLE, (), (NO_GPU,))
    lines, notes = _with_a_server(Device(), scale)
    for name, file in _models():
        more, said = guarded(f"tuning of {name}", partial(_tuning, name, file, scale))
        lines, notes = [*lines, *more], [*notes, *said]
    return Report(NAME, TITLE, tuple(lines), tuple(notes))


def smi(field: str) -> list[str]:
    """Return what nvidia-smi says of each GPU; nothing where it is not installed, or fails."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    command = [program, f"--query-gpu={field}", "--format=csv,noheader,nounits"]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in ended.stdout.splitlines() if line.strip()]


def guarded(what: str, part: Callable[[], Part]) -> Part:
    """Return what a part found, and print it at once; what went wrong in it is a note."""
    started = time.perf_counter()
    try:
        lines, notes = part()
    except Exception as error:
        lines, notes = [], [f"{what}: failed: {type(error).__name__}: {error}"]
    print(f"{what}: {time.perf_counter() - started:.0f} s", file=sys.stderr)
    for line in lines:
        beside = f"; {line.anchor.name}: {line.anchor.text()}" if line.anchor else ""
        print(f"  {line.what}: {line.ours.text()}{beside}", file=sys.stderr)
    for note in notes:
        print(f"  {note}", file=sys.stderr)
    return lines, notes


def _with_a_server(device: Device, scale: Scale) -> Part:
    lines: list[Line] = []
    notes: list[str] = []
    parts: list[tuple[str, Callable[[Client, Device, Scale], Part]]] = [
        ("detection", detection), ("utilization under load", utilization), ("sharing", sharing),
        ("distribution", distribution), ("pinned fp16", pinned),
    ]  # fmt: skip
    with scratch() as folder, helix(folder / "data", result_inline_bytes_max=str(1 << 26)) as server:
        for what, part in parts:
            with _client(server) as client:
                more, said = guarded(what, partial(part, client, device, scale))
            lines, notes = [*lines, *more], [*notes, *said]
    return lines, notes


def _client(server: Helix) -> Client:
    return Client(f"http://127.0.0.1:{server.port}", server.token)


def detection(client: Client, device: Device, scale: Scale) -> Part:
    """Compare what the endpoint shows to what nvidia-smi says: names, and memory."""
    shown = client.acceleration()["gpu"]
    ours = sum(each["memory_total_mb"] or 0.0 for each in shown["devices"])
    theirs = sum(float(text) for text in smi("memory.total"))
    goal = Goal("within 2 % of nvidia-smi", abs(ours - theirs) <= 0.02 * theirs)
    line = Line("memory of the GPUs", Series("", MIB, (ours,)), Series("nvidia-smi", MIB, (theirs,)), goal)
    return [line], [f"found: {shown['count']} x {shown['model']}; nvidia-smi: {', '.join(smi('name'))}"]


def utilization(client: Client, device: Device, scale: Scale) -> Part:
    """Sample the endpoint beside nvidia-smi while a task loads the device."""
    seconds = 4 + 5 * scale.load_s
    task = _load_task(client, device, 1.0, seconds)
    ours: list[float] = []
    theirs: list[float] = []
    while client.get(task)["status"] in ("pending", "running"):
        shown, said = client.acceleration()["gpu"]["utilization"], smi("utilization.gpu")
        if shown is not None and said and client.get(task)["status"] == "running":
            ours.append(shown)
            theirs.append(float(said[0]))
        time.sleep(1.0)
    _rate(client, task)
    if not ours:
        return [], ["utilization under load: the endpoint knew none while the task ran"]
    # Both are means of about a second: what is sampled while the load begins is half of before it.
    begun = next((index for index, each in enumerate(theirs) if each >= max(theirs) / 2), 0) + 2
    ours, theirs = ours[begun:] or ours[-1:], theirs[begun:] or theirs[-1:]
    off = abs(float(np.median(ours)) - float(np.median(theirs)))
    goal = Goal(f"within {POINTS_MAX:g} points of nvidia-smi", off <= POINTS_MAX)
    found = Line(
        "utilization under load", Series("", "%", tuple(ours)), Series("nvidia-smi", "%", tuple(theirs)), goal
    )
    return [found], []


def sharing(client: Client, device: Device, scale: Scale) -> Part:
    """Run one load alone, and then two that ask for half of the device each."""
    seconds = 2 * scale.load_s
    alone = _rate(client, _load_task(client, device, 1.0, seconds))
    halves = [_rate(client, task) for task in [_load_task(client, device, 0.5, seconds) for _ in range(2)]]
    line = Line(
        "two tasks that share it, rows in sum",
        Series("", "rows/s", (sum(halves),)),
        Series("one task alone", "rows/s", (alone,)),
    )
    return [line], [f"each of the two: {', '.join(f'{each:,.0f}' for each in halves)} rows/s"]


def _load_task(client: Client, device: Device, share: float, seconds: float) -> str:
    command = [sys.executable, "-m", "benchmarks.gpu_load", device.provider, str(LOAD_ROWS), str(seconds)]
    run = runs.command(command, env={"PYTHONPATH": str(ROOT)})
    return client.submit("load", run=run, resources={"cpu": 1.0, device.resource: share})["id"]


def _rate(client: Client, task: str) -> float:
    client.wait(task)
    ended = client.result(task)
    if ended["status"] != "completed":
        raise RuntimeError(f"a load {ended['status']}: {ended['error']}")
    return float(client.log_tail(task, 1)[0])


def distribution(client: Client, device: Device, scale: Scale) -> Part:
    """Distribute a task in shards to the nodes that the documented example asks for."""
    run = runs.inference(MODEL, as_rows(held_out()[0][:8]), batch_size=4)
    resources = {"cpu": 1.0, device.resource: 0.5}
    fields: dict[str, Any] = {"strategy": "manual", "shards": {"count": 2}, "resources": resources}
    task = client.submit("shards", run=run, **fields)["id"]
    given = client.distribute(task, capabilities=device.capabilities)
    client.wait(task)
    status = client.get(task)["status"]
    return [], [
        f"distribute with {list(device.capabilities)}: distributed {given['distributed']}, then {status}"
    ]


def pinned(client: Client, device: Device, scale: Scale) -> Part:
    """Push a model, wait until it is tuned, and run it over many rows in FP32 and in FP16."""
    images, labels = held_out()
    with tempfile.TemporaryDirectory() as folder:
        heldout, data = Path(folder) / "heldout.npz", Path(folder) / "rows.npy"
        np.savez(heldout, rows=as_rows(images), labels=labels)
        np.save(data, as_rows(images)[np.arange(PINNED_ROWS) % len(images)])
        pushed = client.push_model(DEFAULT_ROOT / f"{MODEL}.onnx", "pinned", heldout=heldout)
        client.wait_for_model("pinned", pushed["version"])
        digest = client.push_dataset(data)["digest"]
    state = _tuned(client, pushed["version"])
    found = {each: _inferred(client, device, digest, each) for each in ("fp32", "fp16", "fp32", "fp16")}
    rates = {each: PINNED_ROWS * 1000 / result["duration_ms"] for each, result in found.items()}
    line = Line(
        f"{PINNED_ROWS:,} rows of {MODEL}, fp16 in sessions",
        Series("", "rows/s", (rates["fp16"],)),
        Series("fp32", "rows/s", (rates["fp32"],)),
    )
    ran = [
        f"{name}: {each['variant']} on {each['provider']} in {each['arithmetic']}"
        for name, each in found.items()
    ]
    return [line], [f"pinned ({state}): {'; '.join(ran)}"]


def _tuned(client: Client, version: int) -> str:
    """Wait until the version is tuned on this node, or cannot be; return which."""
    while True:
        states = [each["state"] for each in client.model_version("pinned", version)["tunings"]]
        if states and not {"tuning", "untuned"} & set(states):
            return states[0]
        time.sleep(1.0)


def _inferred(client: Client, device: Device, digest: str, precision: Any) -> Any:
    run = runs.inference("pinned", dataset=digest, batch_size=LOAD_ROWS, precision=precision, output="npy")
    task = client.submit("rows", run=run, resources={"cpu": 1.0, device.resource: 1.0})["id"]
    client.wait(task)
    ended = client.result(task)
    if ended["status"] != "completed":
        raise RuntimeError(f"{precision} {ended['status']}: {ended['error']}")
    return ended["result"]


def _models() -> list[tuple[str, bytes]]:
    """Return the two digits models, and one large enough for FP16 to win."""
    packaged = [(name, (DEFAULT_ROOT / f"{name}.onnx").read_bytes()) for name in ("digits_resnet20", MODEL)]
    return [*packaged, ("transformer 6x384", transformer().SerializeToString())]


def _tuning(name: str, file: bytes, scale: Scale) -> Part:
    """Examine and tune a model in folders of its own; say how much memory the examination took."""
    with tempfile.TemporaryDirectory() as folder:
        incoming = BlobStore(Path(folder)).begin()
        incoming.write(file)
        digest = incoming.finish().digest
        started = time.perf_counter()
        examined = examine(ExaminationJob(digest, None, None), Path(folder), models.silently)
        taken = time.perf_counter() - started
        peak_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        limit_s = SECONDS_PER_ROUND * scale.rounds
        job = TuningJob(examined["variants"], examined["inputs"], time_limit_s=limit_s)
        tuned = tune(job, Path(folder), models.silently)
    variants = ", ".join(f"{each['name']} {each['state']}" for each in examined["variants"])
    took = f"{name}: examined in {taken:.0f} s, no child so far took more than {peak_mb:,.0f} {MIB}"
    return tuning_lines(name, tuned), [f"{took}: {variants}", *ratios(name, tuned["rows"])]


def ratios(name: str, rows: Sequence[TrialRow]) -> list[str]:
    """Return a note for each batch and provider that is not the CPU's: the ratio to FP32 of all that ran."""
    groups: dict[tuple[str, int], list[TrialRow]] = {}
    for row in rows:
        if row["provider"] != CPU and not is_reference(row):
            groups.setdefault((row["provider"], row["batch"]), []).append(row)
    return [
        f"{name}, batch {batch}, {provider}, ratio to FP32: "
        + ", ".join(f"{named(row)} {_ratio(row)}" for row in group)
        for (provider, batch), group in groups.items()
    ]


def _ratio(row: TrialRow) -> str:
    return f"({row['why_not']})" if row["ratio"] is None else f"{row['ratio']:.2f}"


def tuning_lines(name: str, tuned: TuningReport) -> list[Line]:
    """Return a line for each batch and provider that is not the CPU's: the choice beside FP32."""
    lines = []
    for choice in tuned["choices"]:
        if choice["provider"] == CPU or choice.get("only_by_name"):
            continue
        rate = choice["items_per_s"]
        interval = f"{choice['low']:.2f}..{choice['high']:.2f}"
        what = f"{name}, batch {choice['batch']}: {named(choice)} ({interval}) on {choice['provider']}"
        anchor = Series("fp32", "rows/s", (rate / choice["ratio"],))
        lines.append(Line(what, Series("", "rows/s", (rate,)), anchor))
    return lines
