"""Devices that were offline converge, and nothing that was accepted is lost."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.properties.device_schedules import DEVICES, KEYS, STEPS, Schedule

# Schedules of a run: `make chaos` asks for 100,000.
SCHEDULES = int(os.environ.get("HELIX_DEVICE_SCHEDULES", "2000"))
STEPS_MAX = 40
# On a busy machine too: 1,000 schedules take two seconds of an idle one.
RUN_S_MAX = 300 + SCHEDULES // 50

small = st.integers(0, 3)
step = st.tuples(
    st.sampled_from(STEPS), st.integers(0, DEVICES - 1), st.integers(0, len(KEYS) - 1), small, small
)


@pytest.mark.timeout(RUN_S_MAX)
@settings(
    max_examples=SCHEDULES,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
    database=None,
)
@given(st.lists(step, max_size=STEPS_MAX))
def test_devices_converge_and_lose_nothing(steps: list[tuple[str, int, int, int, int]]) -> None:
    """Whatever is lost, repeated, late or forbidden meanwhile, and whatever the clocks say: in the end all
    devices have the same, every mutation has had one verdict, and each accepted value is in its document,
    in the conflicts, or was replaced by somebody who knew it."""
    schedule = Schedule()
    for name, *arguments in steps:
        getattr(schedule, name)(*arguments)
    schedule.settle()
    schedule.judge()
