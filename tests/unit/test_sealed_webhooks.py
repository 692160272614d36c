"""Secrets of webhooks are kept sealed: no file has one in plain text, and who signs gets them."""

from __future__ import annotations

from pathlib import Path

from helix_ray.backup import back_up
from helix_ray.core.access import SYSTEM, Principal
from helix_ray.core.orders import (
    CreateUser,
    CreateWebhook,
    Order,
    Receipt,
    RotateWebhookSecret,
    UpdateWebhook,
)
from helix_ray.core.orders.kind import Data, OrderKind
from helix_ray.core.questions import GetWebhook, WebhookBoard
from helix_ray.core.webhooks import FilterRecord
from helix_ray.engine import Engine
from helix_ray.wire.ids import new_seed
from tests.unit.test_sealed_env import VALUE, opened, plain_files

KEY, NEXT_KEY = "whsec_" + "QUFB" * 8, "whsec_" + "QkJC" * 8
WANTED: FilterRecord = {"events": ["*"], "projects": [], "types": [], "labels": {}, "statuses": []}


def give(engine: Engine, body: OrderKind[Data], by: Principal = SYSTEM) -> Data:
    """Carry out an order; return what its receipt says."""
    (answer,) = engine.execute([Order(body, by, "req-test", new_seed())])
    assert isinstance(answer, Receipt), answer
    data: Data = answer.data
    return data


def secrets_for_the_sender(engine: Engine) -> list[str]:
    """Return all secrets of the one webhook, as who signs gets them."""
    board = engine.query(WebhookBoard(), SYSTEM)
    assert isinstance(board, dict), board
    (hook,) = board["webhooks"]
    return [hook["secret"], *(each["secret"] for each in hook["signing_secrets"]), *hook["headers"].values()]


def test_no_file_has_a_secret_and_the_sender_gets_it(tmp_path: Path) -> None:
    """Created, updated, rotated, in the snapshot, after a restart and in a backup."""
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    engine = opened(data)
    user = give(engine, CreateUser("ada", "$argon2id$", ("developer",)))["id"]
    ada = Principal(user, "ada", ("developer",))
    order = CreateWebhook(
        url="https://example.com",
        filter=WANTED,
        secret=VALUE,
        signing_secret=KEY,
        headers={"A": f"{VALUE} 1"},
    )
    webhook_id = give(engine, order, ada)["id"]
    assert secrets_for_the_sender(engine) == [VALUE, KEY, f"{VALUE} 1"]
    give(engine, UpdateWebhook(webhook_id, {"headers": {"B": f"{VALUE} 2"}}), ada)
    give(engine, RotateWebhookSecret(webhook_id, f"{VALUE} 3", NEXT_KEY), ada)
    expected = [f"{VALUE} 3", NEXT_KEY, KEY, f"{VALUE} 2"]
    assert secrets_for_the_sender(engine) == expected
    shown = str(engine.query(GetWebhook(webhook_id), ada))
    assert VALUE not in shown + repr(engine.state.webhooks) + repr(order)
    assert KEY not in shown + repr(engine.state.webhooks) + repr(order)
    engine.save_snapshot()
    engine.journal.close()
    again = opened(data)
    assert secrets_for_the_sender(again) == expected
    back_up(data, tmp_path / "backup", lambda *_: None)
    assert plain_files(tmp_path) == []
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [
        path for path in files if b"QUFBQUFB" in path.read_bytes() or b"QkJCQkJC" in path.read_bytes()
    ]
    again.journal.close()
