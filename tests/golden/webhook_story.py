"""What happens in journal-webhooks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from helix_ray.core import orders as o
from helix_ray.core.access import SYSTEM, Principal
from helix_ray.core.webhooks import FilterRecord, WebhookChanges

if TYPE_CHECKING:
    from tests.golden.stories import Story

KEY = "whsec_" + "QUFB" * 8


def webhooks(story: Story) -> None:
    """Webhooks are created, changed, held, resumed, rotated, switched off and deleted; one goes with its
    owner (journal-webhooks)."""
    for name in ("ada", "ben"):
        story.tell(o.CreateUser(name, f"$argon2id${name}", ("developer",)), SYSTEM)
    ada = Principal("user-0000000001", "ada", ("developer",))
    ben = Principal("user-0000000002", "ben", ("developer",), token="token-0000000003", projects=("p-1",))
    story.tell(o.CreateToken("program", "h3", "a1B2", 3600.0, projects=("p-1",)), Principal(ben.id))
    wanted: FilterRecord = {
        "events": ["task.completed", "task.failed"], "projects": [], "types": [], "labels": {},
        "statuses": [],
    }  # fmt: skip
    narrow: FilterRecord = {
        "events": ["task.*"], "projects": ["p-1"], "types": ["building"], "labels": {"zone": "a"},
        "statuses": ["failed"],
    }  # fmt: skip
    url = "https://example.com/webhook"
    for by, asked in ((ada, wanted), (ada, narrow), (ben, narrow)):
        story.tell(
            o.CreateWebhook(
                url=url, filter=asked, secret="your-webhook-secret", signing_secret=KEY, name=f"of {by.name}",
                headers={"Authorization": "Bearer x"},
            ),
            by,
            f"{by.id}:{asked['events'][0]}",
        )  # fmt: skip
    first, second = "webhook-0000000004", "webhook-0000000005"
    changes: WebhookChanges = {"url": f"{url}/2", "name": "other", "filter": narrow, "headers": {}}
    story.tell(o.UpdateWebhook(first, changes), ada)
    story.tell(o.PauseWebhook(first), ada)
    story.tell(o.ResumeWebhook(first, "skip"), ada)
    story.tell(o.RotateWebhookSecret(first, "another secret", KEY, 600.0), ada)
    story.tell(o.TestWebhook(first), ada)
    story.tell(o.Redeliver(first, 2, 5), ada)
    story.tell(o.NoteDeliveries(((first, 9, 4), (second, 10, 1))), SYSTEM)
    story.tell(o.SwitchOffWebhook(first, "5 days of nothing but failures"), SYSTEM)
    story.tell(o.DeleteWebhook(second), ada)
    story.tell(o.RemoveUser("ben"), SYSTEM)
