"""Secrets are declared where they are, and what shows a thing shows none of them."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from types import ModuleType
from typing import Any, get_args

import pytest

import actors
import helix_ray
import launcher
import serve_app
from helix_ray.core import events as ev
from helix_ray.core import orders as o
from helix_ray.core.access import SYSTEM
from helix_ray.core.secrets import MASK, masked, secrets_of
from helix_ray.core.views.tasks import shown_run

CANARY = "canary-" + "5ec2e7" * 4
SUSPICIOUS = re.compile(
    r"(^|_)(passwords?|secrets?|tokens?|refresh|hash|hashes|env|payload|keys?|credentials?|spent|fingerprint)"
    r"($|_)"
)
# Names that sound like secrets and are none: ids, paths, limits, what is public, and what holds
# things that hide theirs.
HARMLESS = {
    "Finished.spent", "Manifest.hash", "Claim.hash", "Login.tokens", "SessionTokens.refresh_expires_at",
    "Request.idempotency_key", "KnownNotice.payload",
    "ClientCertificate.fingerprint",
    "Settings.tls_key", "Settings.admin_password_file", "Settings.password_chars_min",
    "Findings.password_chars_min",
    "Settings.token_ttl_s", "Settings.refresh_ttl_s",
    "Settings.runtime_env_keep_s",
    "Settings.api_token_ttl_s", "Settings.api_token_ttl_s_max", "Settings.api_tokens_per_user_max",
    "Principal.token",
    "RateLimitPolicy.keys_max", "UsageRow.key", "RevokeToken.token_id",
    "Document.key", "SyncConflict.key",
    "NoteTokenUse.token_id", "Order.key",
    "Origin.credential",
    "Author.credential", "Policy.api_tokens_per_user_max", "Policy.api_token_ttl_s_max",
    "Policy.refresh_replay_s",
    "State.tokens", "State.users_by_key", "State.tokens_of", "Claims.token_id", "Services.tokens",
    "Services.passwords", "Thing.key", "ListedChange.key",
    "Findings.keys", "Findings.oldest_token_at", "Findings.ray_token", "TlsFiles.key",
    "CertificateChange.fingerprint", "NoteCertificate.fingerprint", "_Of.credential",
}  # fmt: skip


def modules() -> Iterator[ModuleType]:
    """Yield all modules of the product."""
    for package in (helix_ray, serve_app, actors, launcher):
        for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            if not found.name.endswith("__main__"):
                yield importlib.import_module(found.name)


def records() -> Iterator[tuple[type[Any], list[str]]]:
    """Yield all classes of fields, with the names that their repr shows."""
    for module in modules():
        for kind in vars(module).values():
            if not inspect.isclass(kind) or kind.__module__ != module.__name__:
                continue
            if dataclasses.is_dataclass(kind):
                yield kind, [field.name for field in dataclasses.fields(kind) if field.repr]
            elif issubclass(kind, tuple) and hasattr(kind, "_fields"):
                yield kind, list(kind._fields)


def test_a_field_that_sounds_secret_is_declared() -> None:
    """Or hidden from the repr, or known to be harmless; whoever adds one has to say which."""
    found = set()
    for kind, names in records():
        declared = {way.partition(".")[0] for way in secrets_of(kind)}
        found |= {
            f"{kind.__name__}.{name}" for name in names if SUSPICIOUS.search(name) and name not in declared
        }
    assert found == HARMLESS


def _planted(value: Any, steps: list[str]) -> Any:
    """Return a value that has the canary where a way ends."""
    if not steps:
        return CANARY
    step, rest = steps[0], steps[1:]
    if step == "*":
        # A list in an order, an object in `env`.
        return {"NAME": _planted(None, rest)} if not rest else ({}, _planted(None, rest))
    return {**(value or {}), step: _planted((value or {}).get(step), rest)}


def planted(kind: type[Any]) -> Any:
    """Return a thing of a class with the canary in every secret."""
    fields: dict[str, Any] = {field.name: None for field in dataclasses.fields(kind)}
    for way in secrets_of(kind):
        name, *steps = way.split(".")
        fields[name] = _planted(fields[name], steps)
    return kind(**fields)


DECLARING = sorted(
    {kind for kind, _ in records() if dataclasses.is_dataclass(kind) and secrets_of(kind)},
    key=lambda kind: f"{kind.__module__}.{kind.__name__}",
)


def test_there_are_some() -> None:
    """The walk has found events, orders, questions and things of the state."""
    assert {
        "helix_ray.core.account_records",
        "helix_ray.core.devices",
        "helix_ray.core.events",
        "helix_ray.core.orders",
        "helix_ray.core.questions",
        "helix_ray.core.state",
        "helix_ray.core.webhooks",
    } == {".".join(kind.__module__.split(".")[:3]) for kind in DECLARING}


@pytest.mark.parametrize("kind", DECLARING, ids=lambda kind: kind.__name__)
def test_what_shows_a_thing_hides_its_secrets(kind: type[Any]) -> None:
    """Masked, and in its repr, the canary is gone and the mark stands in its place; the
    thing itself is as it was."""
    thing = planted(kind)
    for shown in (repr(thing), str(dataclasses.asdict(masked(thing)))):
        assert CANARY not in shown
        assert MASK in shown
    assert CANARY in str(dataclasses.asdict(thing))


def test_an_envelope_hides_what_is_in_it() -> None:
    """Also a fact, and a list of orders in a traceback."""
    order = o.Order(o.CreateUser("ann", CANARY, ("viewer",)), SYSTEM, "req-1", "seed", "key", CANARY)
    spec = {"title": "t", "run": {"kind": "command", "argv": ["x"], "env": {"A": CANARY}}}
    fact = ev.Fact(1, 0.0, "user-1", "req-1", ev.TaskSubmitted("task-1", "user-1", spec))
    assert CANARY not in repr([order, fact])
    assert "'A': '***'" in repr(fact)


def test_every_event_is_masked_or_shown_whole() -> None:
    """One without secrets is itself, so that feeds cost nothing for it."""
    for kind in get_args(ev.Event):
        thing = planted(kind)
        assert (masked(thing) is thing) == (not secrets_of(kind))


def test_a_run_is_shown_without_secrets_and_bulk() -> None:
    """The names of the environment stay: they tell people what is set."""
    run = {"kind": "command", "argv": ["x"], "env": {"A": CANARY, "B": ""}, "payload": CANARY}
    assert shown_run(run) == {"kind": "command", "argv": ["x"], "env": {"A": MASK, "B": MASK}}
    inside = {"kind": "function", "function": "f", "runtime_env": CANARY}
    assert shown_run(inside) == {**inside, "runtime_env": MASK}
    for name in ("stdin", "stdin_base64"):
        assert shown_run({"kind": "command", "argv": ["x"], name: CANARY})[name] == MASK
    plain = {"kind": "command", "argv": ["x"]}
    assert shown_run(plain) is plain
    assert shown_run({**plain, "env": {}}) == {**plain, "env": {}}
