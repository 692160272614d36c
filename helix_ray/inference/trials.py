"""Runs the trials of a tuning, in the child only: sessions of every candidate, compared with FP32 and then
timed.

One provider comes at a time, so no more sessions are open than there are variants and numbers of threads.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import onnx

from helix_ray.inference.calibration import FREE_SIZES, ROWS_BYTES_MAX, made
from helix_ray.inference.candidate import Feed, NamedRows, NotUsable, run
from helix_ray.inference.errors import InferenceRefused
from helix_ray.inference.gate import Comparison, faults
from helix_ray.inference.given_rows import ReadingLimits, read_rows
from helix_ray.inference.graphs import embedding_sizes
from helix_ray.inference.providers import CPU, CUDA, find_providers
from helix_ray.inference.sessions import SessionPlan, open_session, with_graphs
from helix_ray.inference.threads import usable_threads
from helix_ray.inference.timing import ROUNDS_MIN, Ratio, Rounds, ratio_of, seconds_per_call
from helix_ray.inference.trial_batches import batch_of, batches_of, feed_of, feeds_of
from helix_ray.inference.tuner import (
    GAIN_MIN,
    IN_EXAMINATION,
    MADE_ROWS_ONLY,
    SLOWER,
    TrialRow,
    TuningJob,
    unmeasured,
)
from helix_ray.inference.variants import FP32, TF32, Message, Variant

if TYPE_CHECKING:
    import onnxruntime

    from helix_ray.inference.cuda_graphs import GraphSession

__all__ = ["Trials", "providers_here"]

ROUNDS_MAX = 15
ROWS_MAX = 256
"""Rows of the given data that are used."""

HOPELESS = 3.0
"""A candidate that takes so many times as long as FP32 in the warm-up is not measured further."""

Candidate: TypeAlias = tuple[str, SessionPlan]  # a variant, and how it is run
Send = Callable[[Message], None]


@dataclass(slots=True)
class Trials:
    """The trials of one job. `done` are the providers and batch sizes that were measured before, `skip` says
    by the name of a step why it is not tried: it ended a process before this one."""

    job: TuningJob
    blobs: Path
    send: Send
    skip: dict[str, str] = field(default_factory=dict)
    done: Sequence[tuple[str, int]] = ()
    rows: list[TrialRow] = field(default_factory=list, init=False)
    data: Literal["given", "synthetic"] = field(default="synthetic", init=False)

    def run(self) -> None:
        """Measure everything within the time limit, and send the rows of each batch size as it is done."""
        deadline = time.monotonic() + self.job.time_limit_s
        batch = batch_of(self.job)
        given = self._given(batch)
        sizes = {each: self._sizes(each, given, batch) for each in providers_here()}
        left = total = sum(map(len, sizes.values()))
        for provider, measured in sizes.items():
            opened = self._proven(provider, given, batch, measured) if measured else {}
            for size in measured:
                self.send({"fraction": 1 - left / total})
                now = time.monotonic()
                graphs = self._with_graphs(opened, given, batch, size) if provider == CUDA else {}
                feed = feed_of(given, batch, size)
                self.send({"step": _batch_key(provider, size)})
                self._timed({**opened, **graphs}, feed, size, now + (deadline - now) / left)
                self._say((provider, size))
                left -= 1
                del graphs  # before others are recorded
        self._say(None)

    def _sizes(self, provider: str, given: NamedRows, batch: str) -> list[int]:
        """Return the batch sizes still to be measured: not those that are done, nor any from the first one on
        that ended a process."""
        row_bytes = sum(each.nbytes for each in given.arrays.values()) // max(1, len(given))
        sizes: list[int] = []
        why: str | None = None
        for size in batches_of(batch, self.job.batches, provider, row_bytes):
            why = why or self.skip.get(_batch_key(provider, size))
            if (provider, size) in self.done:
                continue
            if why is None:
                sizes.append(size)
            else:
                self.rows.append(unmeasured(FP32, SessionPlan(provider), size, f"not measured: {why}"))
        return sizes

    def _say(self, done: tuple[str, int] | None) -> None:
        """Send the rows that are new: they count also where a later step ends this process."""
        rows = [dict(row) for row in self.rows]
        self.send({"step": "", "rows": rows, "data": self.data, "done": done})
        self.rows.clear()

    def _given(self, batch: str) -> NamedRows:
        """Return rows: given ones, or such that are made and that FP32 takes."""
        if self.job.heldout is not None:
            self.data = "given"
            limits = ReadingLimits(ROWS_MAX, ROWS_BYTES_MAX)
            return read_rows(self.blobs / self.job.heldout, self.job.inputs, batch, limits, "heldout")
        path = self._file(FP32)
        sizes = embedding_sizes(onnx.load(path, load_external_data=False).graph)
        session = open_session(FP32, path, SessionPlan())
        error: Exception | None = None
        for free_size in FREE_SIZES:
            rows = made(self.job.inputs, sizes, batch, free_size, seed=3)
            try:
                run(session, feed_of(rows, batch, 1))
            except NotUsable as refused:
                error = refused
                continue
            return rows
        raise NotUsable(f"no rows could be made that it takes: {error}")

    def _proven(
        self, provider: str, given: NamedRows, batch: str, sizes: Sequence[int]
    ) -> dict[Candidate, onnxruntime.InferenceSession]:
        """Return the sessions of all candidates that give the right outputs here, those of FP32 first."""
        opened: dict[Candidate, onnxruntime.InferenceSession] = {}
        reference = open_session(FP32, self._file(FP32), SessionPlan())
        threads = _threads(self.job.cpus) if provider == CPU else (1,)
        plans = [SessionPlan(provider, each) for each in threads]
        for variant in self.job.variants:
            name = variant["name"]
            if name == TF32 and provider != CUDA:
                continue
            for plan in plans:
                self.send({"step": _key(name, plan)})
                try:
                    opened[name, plan] = self._opened(variant, plan, reference, given, batch)
                except (InferenceRefused, NotUsable, ValueError) as error:
                    self.rows += [unmeasured(name, plan, size, str(error)) for size in sizes]
            if not any(each == FP32 for each, _ in opened):
                break  # nothing on this provider has anything to be compared with
        self.send({"step": ""})
        return opened

    def _opened(
        self,
        variant: Variant,
        plan: SessionPlan,
        reference: onnxruntime.InferenceSession,
        given: NamedRows,
        batch: str,
    ) -> onnxruntime.InferenceSession:
        """Return a session that is proven here; raises NotUsable and InferenceRefused with the reason."""
        name = variant["name"]
        self._check_not_skipped(name, plan)
        if variant["state"] != "ready" or (variant["gate"] is not None and not variant["gate"]["passed"]):
            raise NotUsable(f"{variant['state']} {IN_EXAMINATION}: {variant['reason']}")
        path = self._file(name)
        if _has_slow_convolutions(path):
            raise NotUsable(
                "convolutions in INT8 with ranges found at run time: no provider has fast kernels"
            )
        session = open_session(name, path, SessionPlan(plan.provider, plan.threads, tf32=name == TF32))
        wanted = FP32
        if self.data == "synthetic" and variant["arithmetic"] == "INT8":
            # Its ranges are those of real rows; beyond them it differs from FP32 wherever it runs.
            wanted, reference = name, open_session(name, path, SessionPlan())
        comparison = Comparison()
        for feed in feeds_of(given, batch):
            comparison.add(run(reference, feed), run(session, feed))
        found = faults(comparison.result("given", plan.provider), self.job.bounds)
        if found:
            raise NotUsable(
                f"its outputs on {plan.provider} differ from {wanted} on the CPU: {'; '.join(found)}"
            )
        return session

    def _with_graphs(
        self,
        opened: Mapping[Candidate, onnxruntime.InferenceSession],
        given: NamedRows,
        batch: str,
        size: int,
    ) -> dict[Candidate, GraphSession]:
        """Return the same with CUDA graphs for batches of this size, as far as they can be recorded and then
        give what they gave before."""
        found: dict[Candidate, GraphSession] = {}
        for (name, plan), session in opened.items():
            graph = replace(plan, cuda_graph=True)
            self.send({"step": _key(name, graph)})
            try:
                self._check_not_skipped(name, graph)
                found[name, graph] = self._recorded(name, graph, session, (given, batch, size))
            except NotUsable as error:
                self.rows.append(unmeasured(name, graph, size, str(error)))
        self.send({"step": ""})
        return found

    def _recorded(
        self,
        name: str,
        plan: SessionPlan,
        session: onnxruntime.InferenceSession,
        rows: tuple[NamedRows, str, int],
    ) -> GraphSession:
        recording = with_graphs(session, name, self._file(name), replace(plan, tf32=name == TF32))
        for _ in range(2):  # of shapes that come twice a graph is recorded
            run(recording, feed_of(*rows))
        if recording.why_not is not None:
            raise NotUsable(recording.why_not)
        comparison, other = Comparison(), feed_of(*rows, start=1)
        comparison.add(run(session, other), run(recording, other))
        if found := faults(comparison.result("given", plan.provider), self.job.bounds):
            raise NotUsable(f"its outputs with CUDA graphs differ from those without: {'; '.join(found)}")
        return recording

    def _check_not_skipped(self, name: str, plan: SessionPlan) -> None:
        if (reason := self.skip.get(_key(name, plan))) is not None:
            raise NotUsable(reason)

    def _timed(
        self, opened: Mapping[Candidate, onnxruntime.InferenceSession], feed: Feed, size: int, until: float
    ) -> None:
        """Measure all candidates of a provider at one batch size."""
        opened = self._able(opened, feed, size)
        if not opened:
            return
        rounds = Rounds({each: partial(session.run, None, feed) for each, session in opened.items()})
        rounds.warm_up(first_run=False)
        hopeless: list[Candidate] = []
        for reference in filter(_is_reference, opened):
            rivals = [each for each in opened if _reference(each) == reference]
            by_cpu = reference[1].provider == CPU
            hopeless += rounds.hopeless(reference, rivals, HOPELESS, by_cpu=by_cpu)
        for _ in range(ROUNDS_MAX):
            if not _is_open(rounds) or time.monotonic() + rounds.round_s() > until:
                break
            rounds.once()
            _leave_out(rounds)
        for candidate in opened:
            row = _measured(candidate, size, rounds)
            if candidate in hopeless:
                row["why_not"] = f"{SLOWER}: more than {HOPELESS:g} times as long in the warm-up"
            elif candidate[0] in self._made_only():
                row["why_not"] = MADE_ROWS_ONLY
            self.rows.append(row)

    def _able(
        self, opened: Mapping[Candidate, onnxruntime.InferenceSession], feed: Feed, size: int
    ) -> dict[Candidate, onnxruntime.InferenceSession]:
        """Return the sessions that can run so many rows: a device may have too little memory for them."""
        able: dict[Candidate, onnxruntime.InferenceSession] = {}
        for (name, plan), session in opened.items():
            try:
                run(session, feed)
            except NotUsable as error:
                self.rows.append(unmeasured(name, plan, size, str(error)))
                continue
            able[name, plan] = session
        lone = [each for each in able if _reference(each) not in able]
        self.rows += [
            unmeasured(name, plan, size, "FP32 cannot run so many rows here") for name, plan in lone
        ]
        return {each: session for each, session in able.items() if each not in lone}

    def _made_only(self) -> set[str]:
        return {each["name"] for each in self.job.variants if _is_made_only(each)}

    def _file(self, name: str) -> Path:
        digests = {each["name"]: each["digest"] for each in self.job.variants}
        digest = digests.get(FP32 if name == TF32 else name)
        if digest is None:
            raise NotUsable("there is no file of this variant")
        return self.blobs / digest


def providers_here() -> list[str]:
    """Return the providers that are tried: the CPU's, CUDA's where it is built in, and plug-ins that offer
    a device and do not simulate it."""
    plugged = [each.name for each in find_providers() if each.devices and each.name != CPU]
    usable = {each.name for each in find_providers() if each.reason is None and not each.simulated}
    return [name for name in (CPU, CUDA, *plugged) if name in usable]


def _threads(cpus: float | None) -> tuple[int, ...]:
    most = usable_threads(cpus)
    return (1,) if most == 1 else (1, most)


def _has_slow_convolutions(path: Path) -> bool:
    graph = onnx.load(path, load_external_data=False).graph
    return any(node.op_type == "ConvInteger" for node in graph.node)


def _is_made_only(variant: Variant) -> bool:
    gate = variant["gate"]
    return variant["arithmetic"] == "INT8" and gate is not None and gate["data"] == "synthetic"


def _is_open(rounds: Rounds[Candidate]) -> bool:
    """Say whether a further round can still tell something: FP32 is measured even where nothing rivals it."""
    fewest = min(len(samples) for each, samples in rounds.samples.items() if _is_reference(each))
    return fewest < ROUNDS_MIN or not all(map(_is_reference, rounds.running()))


def _leave_out(rounds: Rounds[Candidate]) -> None:
    """Spend no more time on what is not faster beyond doubt."""
    for candidate in rounds.running():
        is_measured = not _is_reference(candidate) and len(rounds.samples[candidate]) >= ROUNDS_MIN
        if is_measured and _ratio(rounds, candidate).high < GAIN_MIN:
            rounds.leave_out(candidate)


def _ratio(rounds: Rounds[Candidate], candidate: Candidate) -> Ratio:
    """Compare with FP32 on the same provider and threads; on the CPU by CPU time, which other tasks do not
    stretch."""
    by_cpu = candidate[1].provider == CPU
    reference = rounds.samples[_reference(candidate)]
    return ratio_of(
        seconds_per_call(reference, by_cpu=by_cpu),
        seconds_per_call(rounds.samples[candidate], by_cpu=by_cpu),
    )


def _measured(candidate: Candidate, size: int, rounds: Rounds[Candidate]) -> TrialRow:
    name, plan = candidate
    row = unmeasured(name, plan, size, None)
    samples = rounds.samples[candidate]
    if len(samples) < ROUNDS_MIN:
        row["why_not"] = f"not measured: the time limit allowed {len(samples)} rounds of {ROUNDS_MIN}"
        return row
    found = _ratio(rounds, candidate)
    walls = [
        seconds_per_call(each, by_cpu=False) for each in (rounds.samples[_reference(candidate)], samples)
    ]
    row["items_per_s"] = _rate(size, walls[1])
    row["cpu_items_per_s"] = _rate(size, seconds_per_call(samples, by_cpu=True))
    row["n"], row["ratio"] = found.n, round(found.median, 3)
    row["low"], row["high"] = round(found.low, 3), round(found.high, 3)
    by_clock = ratio_of(*walls)
    row["wall_ratio"], row["wall_high"] = round(by_clock.median, 3), round(by_clock.high, 3)
    return row


def _rate(size: int, seconds: Sequence[float]) -> float | None:
    middle = sorted(seconds)[len(seconds) // 2]
    return round(size / middle, 1) if middle > 0 and math.isfinite(middle) else None


def _key(variant: str, plan: SessionPlan) -> str:
    return f"{variant} {plan.provider}{' graph' if plan.cuda_graph else ''}"


def _batch_key(provider: str, size: int) -> str:
    return f"batch {size} {provider}"


def _reference(candidate: Candidate) -> Candidate:
    """Return what a candidate is compared with: FP32 on the same provider and threads, without graphs."""
    return FP32, replace(candidate[1], cuda_graph=False)


def _is_reference(candidate: Candidate) -> bool:
    return candidate == _reference(candidate)
