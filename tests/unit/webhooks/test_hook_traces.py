"""Tries to tell webhooks, as spans, and what receivers are handed of the trace."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from helix_ray.core.deliveries import GetDelivery
from helix_ray.core.traceparent import parse, task_span_id
from helix_ray.tracing.span import TraceSpan
from helix_ray.webhooks.hook_traces import HEADER, HookTraces
from tests.unit.webhooks.world import World

TRACE, REQUEST = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GIVEN = f"00-{TRACE}-{REQUEST}-01"


def told(tmp_path: Path, traces: HookTraces, **spec: str) -> tuple[World, dict[str, str]]:
    """Tell receivers of one task: one that works at its second try, one with a header of its own."""
    tmp_path.mkdir(exist_ok=True)
    world, shown = World(tmp_path), {}
    world.traces = traces

    async def run() -> None:
        answers = iter([503, 200])
        world.hook("shaky", lambda got: next(answers))
        world.hook("own", headers={"Traceparent": "its own"})
        await world.start()
        world.submit(1, title="a secret title", **spec)
        await world.until(lambda: len(world.got["shaky"]) == 1)
        await world.looked()
        world.wait(6.2)
        await world.until(lambda: len(world.got["shaky"]) == 2 and len(world.got["own"]) == 1)
        await world.looked()
        seq = world.notifying.outbox.deliveries.listed("shaky", None, None, 1)[0].message.seq
        found = await world.notifying.answer(GetDelivery("shaky", seq))
        assert found is not None
        assert found["request"] is not None
        shown.update(found["request"]["headers"])
        await world.kill()

    asyncio.run(run())
    return world, shown


def test_each_try_is_a_span_that_its_receiver_is_handed(tmp_path: Path) -> None:
    """They are below the task's, say how it went, and have nothing that people wrote."""
    found: list[TraceSpan] = []
    world, shown = told(tmp_path, HookTraces(found.append), traceparent=GIVEN)
    (got, again), (own,) = world.got["shaky"], world.got["own"]
    tries = [span for span in found if span.attributes["helix.webhook.id"] == "shaky"]
    handed = [parse(each.headers[HEADER]) for each in (got, again)]
    assert [(TRACE, span.span_id, 1) for span in tries] == handed
    assert len({span.span_id for span in found}) == 3
    assert {(span.parent_id, span.kind, span.name) for span in found} == {
        (task_span_id(got.task), "client", "webhook")
    }
    assert [span.failed for span in tries] == [True, False]
    about = {
        "helix.webhook.id": "shaky", "helix.webhook.event": "task.created", "helix.task.id": got.task,
        "http.request.method": "POST",
    }  # fmt: skip
    failed = {"helix.webhook.try": 1, "http.response.status_code": 503, "error.type": "http_503"}
    assert [span.attributes for span in tries] == [
        about | failed,
        about | {"helix.webhook.try": 2, "http.response.status_code": 200},
    ]
    assert shown[HEADER] == again.headers[HEADER]
    # A header of the owner's stays as it is.
    assert HEADER not in own.headers
    assert own.headers["Traceparent"] == "its own"
    assert "secret" not in str(found)


@pytest.mark.parametrize(
    ("given", "handed"),
    [
        (GIVEN, GIVEN),
        (f"00-{TRACE}-{REQUEST}-00", f"00-{TRACE}-{REQUEST}-00"),
        # Of a later version what is known, and nothing that somebody appended.
        (f"01-{TRACE}-{REQUEST}-01-\xe4", GIVEN),
        (None, None),
    ],
)
def test_who_makes_no_span_hands_on_what_the_task_was_given(
    tmp_path: Path, given: str | None, handed: str | None
) -> None:
    """Without a collector, and for traces that their caller does not record."""
    spec = {} if given is None else {"traceparent": given}
    world, _ = told(tmp_path, HookTraces(), **spec)
    assert [got.headers.get(HEADER) for got in world.got["shaky"]] == [handed] * 2


def test_traces_that_are_not_recorded_have_no_spans(tmp_path: Path) -> None:
    """Nor have tasks outside of any trace."""
    found: list[TraceSpan] = []
    told(tmp_path / "unsampled", HookTraces(found.append), traceparent=f"00-{TRACE}-{REQUEST}-00")
    told(tmp_path / "none", HookTraces(found.append))
    assert found == []
