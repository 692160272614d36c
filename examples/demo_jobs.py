"""The demonstration's jobs: what is submitted, and how a result is checked against what is
known without the cluster."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from helix_ray import digits
from helix_ray.client import runs
from helix_ray.wire.task_answers import ResultOut

IMAGES_PER_TASK = 25
# What tools/build_models.py measured on the same images, less one image in a hundred.
ACCURACY_MIN = 0.98
FUNCTION_TASKS = 300
PRIMES_LIMIT_MIN = 200_000
PRIMES_LIMIT_STEP = 1_000
PACKAGE = Path(__file__).parent / "pkg_wordstat"
WORDS_IN_SAMPLE = 64

Body = dict[str, Any]
Result = ResultOut


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a job: a sentence, an accuracy from 0 to 1 where there is one, and what was wrong."""

    story: str
    accuracy: float | None = None
    wrong: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Job:
    """Tasks of one kind. `check` gets the results of all of them, completed and in order."""

    name: str
    kind: str
    tasks: list[Body]
    check: Callable[[Sequence[Result]], Verdict]


def all_jobs() -> list[Job]:
    """Return the four jobs; what is urgent is not what is submitted first."""
    images, labels = digits.held_out()
    return [
        _classify("digits_resnet20", digits.as_image(images), labels),
        _classify("digits_transformer", digits.as_rows(images), labels),
        _count_primes(),
        _build_package(),
    ]


def _classify(model: str, inputs: NDArray[np.float32], labels: NDArray[np.uint8]) -> Job:
    """All images through one model, IMAGES_PER_TASK in a task."""
    starts = range(0, len(labels), IMAGES_PER_TASK)
    tasks: list[Body] = [
        {
            "title": f"{model}: images {start} to {min(start + IMAGES_PER_TASK, len(labels)) - 1}",
            "type": "testing",
            "run": runs.inference(model, inputs[start : start + IMAGES_PER_TASK]),
        }
        for start in starts
    ]

    def check(results: Sequence[Result]) -> Verdict:
        scores = np.concatenate([_scores(result) for result in results])
        right = int((scores.argmax(axis=1) == labels).sum())
        accuracy = right / len(labels)
        first = results[0]["result"]
        took = sum(result["result"]["duration_ms"] for result in results) / len(labels)
        story = (
            f"{right} of {len(labels)} held-out digits named right by {model} ({first['precision']} weights, "
            f"{first['provider']}), {took:.2f} ms of model time an image"
        )
        wrong = (
            [] if accuracy >= ACCURACY_MIN else [f"{model}: accuracy {accuracy:.4f} is below {ACCURACY_MIN}"]
        )
        return Verdict(story, accuracy, wrong)

    return Job(model, "inference", tasks, check)


def _scores(result: Result) -> NDArray[np.float32]:
    """Return the model's only output: a score for each image and digit."""
    (scores,) = result["result"]["outputs"].values()
    return np.asarray(scores, dtype=np.float32)


def _build_package() -> Job:
    """Test examples/pkg_wordstat, build it into one file, and run that on a text."""
    run = runs.command(["sh", "build.sh"], working_dir=str(PACKAGE), env={"PYTHON": sys.executable})
    task = {"title": "build and test pkg_wordstat", "type": "building", "priority": "high", "run": run}

    def check(results: Sequence[Result]) -> Verdict:
        output: str = results[0]["result"]["output"]
        tests = re.search(r"^Ran (\d+) tests", output, re.MULTILINE)
        counts = json.loads(output.splitlines()[-1])
        story = (
            f"{tests[1] if tests else 'no'} unit tests passed, wordstat.pyz was built and counted "
            f"{counts['words']} words in sample.txt; exit code {results[0]['result']['exit_code']}"
        )
        wrong = [] if tests and counts["words"] == WORDS_IN_SAMPLE else [f"pkg_wordstat: {output}"]
        return Verdict(story, None, wrong)

    return Job("pkg_wordstat", "command", [task], check)


def _count_primes() -> Job:
    """FUNCTION_TASKS calls of helix_ray.samples:count_primes, each with another limit."""
    limits = [PRIMES_LIMIT_MIN + i * PRIMES_LIMIT_STEP for i in range(FUNCTION_TASKS)]
    tasks: list[Body] = [
        {
            "title": f"primes below {limit}",
            "type": "testing",
            "priority": "low",
            "run": runs.function("helix_ray.samples:count_primes", limit),
        }
        for limit in limits
    ]

    def check(results: Sequence[Result]) -> Verdict:
        values = [result["result"]["value"] for result in results]
        known = _primes_below(limits)
        wrong = [
            f"count_primes({limit}) gave {value}, not {right}"
            for limit, value, right in zip(limits, values, known, strict=True)
            if value != right
        ]
        right = len(values) - len(wrong)
        middle = f"their median is {median(values):,.0f} primes"
        story = f"{right} of {len(values)} counts agree with another sieve's; {middle}"
        return Verdict(story, None, wrong[:3])

    return Job("count_primes", "function", tasks, check)


def _primes_below(limits: Sequence[int]) -> list[int]:
    """Count the primes below each limit here, by crossing out multiples in numpy."""
    prime = np.ones(max(limits), dtype=bool)
    prime[:2] = False
    for n in range(2, int(len(prime) ** 0.5) + 1):
        prime[n * n :: n] = False
    sums = np.cumsum(prime)
    return [int(sums[limit - 1]) for limit in limits]
