"""Judges one variant: runs it beside FP32 on rows that did not calibrate it, in its own arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from helix_ray.core.cpu_arithmetic import cpu_arithmetic
from helix_ray.inference import fp16, tf32
from helix_ray.inference.candidate import NamedRows, NotBuilt, feeds, open_candidate, run
from helix_ray.inference.gate import Comparison, faults
from helix_ray.inference.node_class import cpu_flags
from helix_ray.inference.variants import FP16, INT8_DYNAMIC, INT8_STATIC, TF32, Gate, GateBounds

__all__ = ["Reference", "judge"]

EVALUATED_ROWS = 2
"""Rows that the reference evaluator computes: it is thousands of times slower than a runtime."""

EVALUATOR_TIME_S = 10.0
"""After so long the ranges alone judge FP16."""

OUTPUT_BYTES_KEPT_MAX = 64 * 2**20
"""Outputs of FP32 that are kept for the next variants; those of other batches are computed again."""

_EVALUATOR_BOUNDS = GateBounds(max_relative_error=0.01, min_cosine=0.999, min_top1_agreement=0.0)
"""What the evaluator may differ by in FP32."""

Array = NDArray[Any]
Feed = dict[str, Array]
Progress = Callable[[float], None]


class Reference:
    """FP32 and the rows that judge; its outputs are computed once, as far as they may be kept."""

    def __init__(self, model: Path, rows: NamedRows, batch: str) -> None:
        self.model = model
        self.rows = rows
        self.batch = batch
        self._session = open_candidate(model)
        self._kept: list[list[Array]] = []
        self._room = OUTPUT_BYTES_KEPT_MAX

    def batches(self) -> Iterator[tuple[Feed, list[Array], Array | None]]:
        """Yield inputs, outputs of FP32 and classes, batch by batch."""
        for index, (feed, labels) in enumerate(feeds(self.rows, self.batch)):
            outputs = self._kept[index] if index < len(self._kept) else self._computed(index, feed)
            yield feed, outputs, labels

    def few(self, count: int) -> Feed:
        """Return one run of the first rows."""
        rows = self.rows.part(0, count) if self.batch == "dynamic" else self.rows
        return next(feeds(rows, self.batch))[0]

    def run(self, feed: Feed) -> list[Array]:
        """Return the outputs of FP32."""
        return run(self._session, feed)

    def _computed(self, index: int, feed: Feed) -> list[Array]:
        outputs = self.run(feed)
        self._room -= sum(each.nbytes for each in outputs)
        if self._room > 0 and index == len(self._kept):
            self._kept.append(outputs)
        return outputs


def judge(
    name: str, reference: Reference, built: Path | None, bounds: GateBounds, progress: Progress
) -> tuple[Gate, str | None]:
    """Return the figures of a variant, and the reason where it is refused; raises NotBuilt and NotUsable."""
    if name == TF32:
        emulated = tf32.rounded(fp16.read(reference.model))
        if emulated is None:
            raise NotBuilt("no operator of this model is computed in TF32")
        candidate: Path | bytes = emulated.SerializeToString()
        method = "TF32 arithmetic: the inputs of matrix products are rounded"
    else:
        assert built is not None
        candidate, method = built, _arithmetic(name)
    gate = _compare(reference, candidate, progress).result(reference.rows.data, method)
    found = [*(_judge_fp16(gate, reference, built) if name == FP16 and built else ())]
    found += faults(gate, bounds)
    gate["passed"] = not found
    return gate, "; ".join(dict.fromkeys(found)) or None


def _compare(reference: Reference, candidate: Path | bytes, progress: Progress) -> Comparison:
    session = open_candidate(candidate)
    comparison = Comparison()
    total = max(1, len(reference.rows))
    for feed, outputs, labels in reference.batches():
        comparison.add(outputs, run(session, feed), labels)
        progress(min(1.0, comparison.rows / total))
    return comparison


def _judge_fp16(gate: Gate, reference: Reference, built: Path) -> list[str]:
    """Judge FP16 with FP16 arithmetic: the evaluator's figures go into `gate`; returns what is refused."""
    found = fp16.ranges(fp16.read(reference.model), (feed for feed, _, _ in reference.batches()))
    reason = fp16.overflow(found)
    gate["method"] = f"ranges of {len(found)} tensors in FP32"
    evaluated = _evaluate(reference, built)
    if evaluated is None:
        gate["method"] += f"; the reference evaluator gave nothing to rely on within {EVALUATOR_TIME_S:g} s"
    else:
        gate["method"] += f"; FP16 arithmetic (reference evaluator) on {evaluated['rows']} rows"
        _widen(gate, evaluated)
    return [reason] if reason else []


def _evaluate(reference: Reference, built: Path) -> Gate | None:
    """Compare FP16 arithmetic to FP32 on a few rows.

    The evaluator is Python and has its own mistakes: where it differs in FP32, too, nothing follows from it.
    """
    feed = reference.few(EVALUATED_ROWS)
    outputs = reference.run(feed)
    gate = _evaluated(built, feed, outputs)
    if gate is None or not faults(gate, _EVALUATOR_BOUNDS):
        return gate
    itself = _evaluated(reference.model, feed, outputs)
    return None if itself is None or faults(itself, _EVALUATOR_BOUNDS) else gate


def _evaluated(file: Path, feed: Feed, reference: list[Array]) -> Gate | None:
    outputs = fp16.evaluate(fp16.read(file), feed, EVALUATOR_TIME_S)
    if outputs is None or [each.shape for each in outputs] != [each.shape for each in reference]:
        return None
    comparison = Comparison()
    comparison.add(reference, outputs)
    return comparison.result("given", "")


def _widen(gate: Gate, other: Gate) -> None:
    """Take the worse of two figures; null, for values that are not finite, is the worst."""
    errors = gate["max_relative_error"], other["max_relative_error"]
    cosines = gate["min_cosine"], other["min_cosine"]
    gate["max_relative_error"] = None if None in errors else max(each for each in errors if each is not None)
    gate["min_cosine"] = None if None in cosines else min(each for each in cosines if each is not None)


def _arithmetic(name: str) -> str:
    """Say what computed a variant here."""
    if name in (INT8_STATIC, INT8_DYNAMIC):
        return "INT8 arithmetic of this CPU"
    return f"{cpu_arithmetic(name, cpu_flags())} arithmetic"
