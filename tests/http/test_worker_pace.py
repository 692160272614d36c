"""The shipped external worker over hours: it paces itself by what the answers say, and
outlives limits and tokens."""

from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest
import requests

from helix_ray.config import Settings
from helix_ray.core.limits import POLICIES, WORKERS
from helix_ray.security.tokens import KeyRing, TokenIssuer
from helix_ray.testing import ManualClock, add_user
from serve_app.edge.limiter import LeasingLimiter, grant_here
from tests.http.api_server import PASSWORD, Api, serving_api

EXAMPLE = Path(__file__).parents[2] / "examples" / "external_worker.py"
HOUR_S = 3_600.0


class Over(Exception):
    """The simulated time is over."""


@contextmanager
def worker_at(
    limit: int, hours: float, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Api, ModuleType, Counter[int], ManualClock]]:
    """An API whose workers may ask `limit` times an hour, and the example loaded as a module; its sleeps are
    the only time that passes, and after `hours` of it they raise Over."""
    clock = ManualClock()
    keys = KeyRing.fresh()
    policies = [policy._replace(limit=limit) if policy is WORKERS else policy for policy in POLICIES]
    limiter = LeasingLimiter(
        policies, grant_here(policies, clock.wall), clock=clock.monotonic, epoch=clock.wall
    )
    settings = Settings(token_ttl_s=900)
    tokens = TokenIssuer(keys, clock=clock.wall)
    answers: Counter[int] = Counter()

    def sleep(seconds: float) -> None:
        assert seconds > 0
        end = clock.passed + seconds
        while clock.passed < end:
            clock.advance(min(1.0, end - clock.passed))
            api.plane.react()
        if clock.passed > hours * HOUR_S:
            raise Over

    with serving_api(settings, clock=clock, keys=keys, limiter=limiter, tokens=tokens) as api:
        add_user(api.plane, "hands", PASSWORD, ["worker"])
        for name, value in (("URL", api.url), ("USERNAME", "hands"), ("PASSWORD", PASSWORD)):
            monkeypatch.setenv(f"HELIX_{name}", value)
        spec = importlib.util.spec_from_file_location("external_worker", EXAMPLE)
        assert spec is not None
        assert spec.loader is not None
        example = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(example)
        monkeypatch.setattr(example.time, "sleep", sleep)

        def count(response: requests.Response, **_: object) -> None:
            answers[response.status_code] += 1

        example.session.hooks["response"].append(count)
        yield api, example, answers, clock


def test_the_example_worker_fits_an_hour_into_its_allowance(monkeypatch: pytest.MonkeyPatch) -> None:
    """With 500 requests an hour it is never refused for asking too often, logs in again when its token ends,
    and does the work of the whole hour."""
    with worker_at(500, 2.0, monkeypatch) as (api, example, answers, _):
        owner = api.add("owner", "developer")
        tasks = [api.submit(owner, type="design", description="to be") for _ in range(20)]
        with pytest.raises(Over):
            example.main()
        assert answers[429] == 0
        assert answers[401] >= 7
        # A sum over two hours: the pace lies between the least that keeps a lease and the limit.
        assert 2 * HOUR_S / 20 <= answers[200] <= 2 * 500
        owner = api.client("owner")
        assert {owner.get(f"/tasks/{task}").json()["status"] for task in tasks} == {"completed"}
        assert [worker.lost for worker in api.plane.engine.state.workers.values()] == [False]


def test_the_example_worker_outlives_a_limit_that_is_too_low(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the limit does not even keep a lease, it waits as Retry-After says and goes
    on, without a traceback."""
    with worker_at(40, 3.0, monkeypatch) as (_, example, answers, clock):
        with pytest.raises(Over):
            example.main()
        assert clock.passed > 3 * HOUR_S
        assert 3 * 38 <= answers[200] <= 4 * 41 + 12
        assert 1 <= answers[429] <= 30


def test_a_refusal_ends_the_example_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong password is said in one line."""
    with worker_at(500, 1.0, monkeypatch) as (_, example, _answers, _clock):
        monkeypatch.setitem(example.os.environ, "HELIX_PASSWORD", "not the password")
        with pytest.raises(SystemExit, match=r"^POST /auth/login: .*password"):
            example.main()
