"""What was measured of a model: the gate's table, the tuner's tables, and what they leave out, in lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from helix_ray.cli.output import print_table, put
from helix_ray.cli.tables import Columns
from helix_ray.core.model_choice import automatic
from helix_ray.inference.tuner import GAIN_MIN, IN_EXAMINATION, OTHER_IS_FASTER, named

if TYPE_CHECKING:
    from helix_ray.core.model_records import AccuracyRecord, ChoiceRecord, VariantRecord
    from helix_ray.wire.models import EvidenceOut, TuningLineOut, TuningOut

GATE_COLUMNS = Columns(
    ("VERSION", "VARIANT", "ARITHMETIC", "STATE", "DATA", "ROWS", "ERROR", "COSINE", "TOP1", "ACCURACY %",
     "BYTES"),
    ("BYTES", "ARITHMETIC", "ROWS", "DATA"),
)  # fmt: skip
TUNING_COLUMNS = ("BATCH", "VARIANT", "PROVIDER", "THREADS", "RATIO", "95 %")


def show_evidence(found: EvidenceOut) -> None:
    """Print what the gate measured of each variant, and what the tuner chose on each class of nodes."""
    _show_gate(found)
    for measured in found["versions"]:
        for tuning in measured["tunings"]:
            _show_tuning(f"{found['name']}@{measured['version']}", tuning)


def on_class(named: str, tuning: TuningLineOut | TuningOut) -> str:
    """Return a line on a version and a class of nodes."""
    reason = f": {tuning['reason']}" if tuning["reason"] else ""
    return f"{named} on {tuning['node_class']}: {tuning['state']}{reason}"


def put_reason(what: str, state: str, reason: str | None) -> None:
    """Print a reason as a line of its own, where there is one."""
    if reason:
        put(f"{what} {state}: {reason}")


def _show_gate(found: EvidenceOut) -> None:
    rows: list[tuple[str, ...]] = []
    for version in found["versions"]:
        if not version["variants"]:
            rows.append((str(version["version"]), "", "", version["state"], *[""] * 7))
        rows += [_gate_row(version["version"], each) for each in version["variants"]]
    print_table(GATE_COLUMNS, rows)
    for version in found["versions"]:
        named = f"{found['name']}@{version['version']}"
        put_reason(named, version["state"], version["reason"])
        for each in version["variants"]:
            put_reason(f"{named} {each['name']}", each["state"], each["reason"])


def _gate_row(version: int, variant: VariantRecord) -> tuple[str, ...]:
    said = (str(version), variant["name"], variant["arithmetic"], variant["state"])
    gate = variant["gate"]
    if gate is None:
        return (*said, *[""] * 6, str(variant["bytes"]))
    accuracy = gate["accuracy"]
    return (
        *said, gate["data"], str(gate["rows"]), _short(gate["max_relative_error"]),
        _short(gate["min_cosine"], 5), _short(gate["top1_agreement"]),
        "" if accuracy is None else _accuracy(accuracy), str(variant["bytes"]),
    )  # fmt: skip


def _accuracy(accuracy: AccuracyRecord) -> str:
    """Return the accuracy, and the interval of its difference to FP32, in points."""
    low, high = 100 * accuracy["low"], 100 * accuracy["high"]
    return f"{100 * accuracy['variant']:.2f} ({low:+.2f} to {high:+.2f})"


def _show_tuning(named: str, tuning: TuningOut) -> None:
    """Show what was chosen on a class of nodes: for each batch the ratio to FP32 with its interval."""
    put("")
    put(on_class(named, tuning))
    if tuning["choices"]:
        print_table(TUNING_COLUMNS, [_choice_row(choice) for choice in automatic(tuning["choices"])])
    for line in left_out(tuning["rows"]):
        put(f"{named} {line}")


def left_out(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Give a line for each variant that was faster than FP32 beyond doubt and not chosen, with its ratios by
    batch, and for what was opened and could not be measured; both with the reason.

    `rows` are the measurements of a tuning, of which the table has the choices alone.
    """
    faster: dict[tuple[Any, ...], dict[int, float]] = {}
    failed: dict[tuple[Any, ...], list[int]] = {}
    for row in rows:
        key = (named(row), row["provider"], row["threads"], row["why_not"])
        if row["why_not"] is None or row["why_not"].endswith(OTHER_IS_FASTER):
            continue
        if row["low"] is not None and row["low"] >= GAIN_MIN:
            faster.setdefault(key, {})[row["batch"]] = row["ratio"]
        elif row["ratio"] is None and IN_EXAMINATION not in row["why_not"]:
            failed.setdefault(key, []).append(row["batch"])
    for (variant, provider, threads, why), ratios in faster.items():
        text = ", ".join(f"{ratio:.2f} at batch {batch}" for batch, ratio in ratios.items())
        yield f"{variant}, {_where(provider, threads)}: {text}, not chosen: {why}"
    for (variant, provider, threads, why), batches in failed.items():
        sizes = ", ".join(map(str, batches))
        yield f"{variant}, {_where(provider, threads)}: not measured at batch {sizes}: {why}"


def _where(provider: str, threads: int) -> str:
    return f"{provider}, {threads} thread{'s' if threads != 1 else ''}"


def _choice_row(choice: ChoiceRecord) -> tuple[str, ...]:
    return (
        str(choice["batch"]), named(choice), choice["provider"], str(choice["threads"]),
        f"{choice['ratio']:.2f}", f"{choice['low']:.2f} to {choice['high']:.2f}",
    )  # fmt: skip


def _short(value: Any, digits: int = 3) -> str:
    return "" if value is None else f"{value:.{digits}g}"
