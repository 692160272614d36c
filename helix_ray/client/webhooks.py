"""The client's calls about webhooks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote

from helix_ray.client.session import ClientSession
from helix_ray.client.transport import Request

if TYPE_CHECKING:
    from helix_ray.wire.deliveries import DeliveriesOut, DeliveryOut
    from helix_ray.wire.webhooks import AskedOut, WebhookOut, WebhookSignedOut


class WebhookCalls:
    """The client's methods for webhooks; answers are the dicts of docs/api.md, options those of
    docs/webhooks.md."""

    _session: ClientSession

    def create_webhook(
        self,
        url: str,
        events: Iterable[str],
        *,
        secret: str | None = None,
        name: str | None = None,
        projects: Iterable[str] | None = None,
        types: Iterable[str] | None = None,
        labels: Mapping[str, str] | None = None,
        statuses: Iterable[str] | None = None,
        headers: Mapping[str, str] | None = None,
        ca: str | None = None,
        idempotency_key: str | None = None,
    ) -> WebhookSignedOut:
        """Create a webhook. Only this answer has its `signing_secret`. `ca` is PEM text."""
        body = _body(url, events, name, projects, types, labels, statuses, headers, ca)
        if secret is not None:
            body["secret"] = secret
        request = Request("POST", "/webhooks", body=body, idempotency_key=idempotency_key)
        webhook: WebhookSignedOut = self._session.send(request).data
        return webhook

    def webhooks(self) -> list[WebhookOut]:
        """Return the user's webhooks; all webhooks for administrators."""
        webhooks: list[WebhookOut] = self._session.call("GET", "/webhooks")["webhooks"]
        return webhooks

    def webhook(self, webhook_id: str) -> WebhookOut:
        """Return one webhook."""
        webhook: WebhookOut = self._session.call("GET", _path(webhook_id))
        return webhook

    def update_webhook(
        self,
        webhook_id: str,
        *,
        url: str | None = None,
        events: Iterable[str] | None = None,
        name: str | None = None,
        projects: Iterable[str] | None = None,
        types: Iterable[str] | None = None,
        labels: Mapping[str, str] | None = None,
        statuses: Iterable[str] | None = None,
        headers: Mapping[str, str] | None = None,
        ca: str | None = None,
    ) -> WebhookOut:
        """Replace what is given. An empty `ca` stands for the certificates of the server's system."""
        body = _body(url, events, name, projects, types, labels, statuses, headers, ca)
        webhook: WebhookOut = self._session.call("PUT", _path(webhook_id), body)
        return webhook

    def delete_webhook(self, webhook_id: str) -> None:
        """Delete a webhook."""
        self._session.call("DELETE", _path(webhook_id))

    def pause_webhook(self, webhook_id: str) -> WebhookOut:
        """Hold what a webhook would be told."""
        webhook: WebhookOut = self._session.call("POST", _path(webhook_id, "/pause"))
        return webhook

    def resume_webhook(self, webhook_id: str, pending: Literal["skip", "replay"] = "replay") -> WebhookOut:
        """Resume a webhook, with what was held or without."""
        webhook: WebhookOut = self._session.call("POST", _path(webhook_id, "/resume"), {"pending": pending})
        return webhook

    def rotate_webhook_secret(
        self, webhook_id: str, secret: str | None = None, *, overlap_s: float | None = None
    ) -> WebhookSignedOut:
        """Give a webhook another secret; the one before signs as well for `overlap_s` (a day)."""
        wanted = {"secret": secret, "overlap_s": overlap_s}
        body = {key: value for key, value in wanted.items() if value is not None}
        webhook: WebhookSignedOut = self._session.call("POST", _path(webhook_id, "/rotate-secret"), body)
        return webhook

    def test_webhook(self, webhook_id: str) -> AskedOut:
        """Send a ping to a webhook; `seq` names its delivery."""
        asked: AskedOut = self._session.call("POST", _path(webhook_id, "/test"))
        return asked

    def deliveries(
        self, webhook_id: str, *, status: str | None = None, before: int | None = None, limit: int = 50
    ) -> DeliveriesOut:
        """Return a page of a webhook's deliveries, newest first, and where the webhook stands."""
        wanted = {"status": status, "before": before, "limit": limit}
        params = {key: value for key, value in wanted.items() if value is not None}
        page: DeliveriesOut = self._session.call("GET", _path(webhook_id, "/deliveries"), **params)
        return page

    def delivery(self, webhook_id: str, seq: int) -> DeliveryOut:
        """Return one delivery with its request and all its tries."""
        found: DeliveryOut = self._session.call("GET", _path(webhook_id, f"/deliveries/{seq}"))
        return found

    def redeliver(
        self, webhook_id: str, seq: int | None = None, *, after: int | None = None, through: int | None = None
    ) -> AskedOut:
        """Send once more: the delivery `seq`, or what comes after a seq, through another one or all."""
        wanted = {"seq": seq, "after": after, "through": through}
        body = {key: value for key, value in wanted.items() if value is not None}
        asked: AskedOut = self._session.call("POST", _path(webhook_id, "/redeliver"), body)
        return asked


def _body(
    url: str | None,
    events: Iterable[str] | None,
    name: str | None,
    projects: Iterable[str] | None,
    types: Iterable[str] | None,
    labels: Mapping[str, str] | None,
    statuses: Iterable[str] | None,
    headers: Mapping[str, str] | None,
    ca: str | None,
) -> dict[str, object]:
    """Return what of a webhook is given, as the API has it."""
    lists = {"events": events, "projects": projects, "types": types, "statuses": statuses}
    body: dict[str, object] = {key: [*values] for key, values in lists.items() if values is not None}
    body |= {key: {**pairs} for key, pairs in (("labels", labels), ("headers", headers)) if pairs is not None}
    body |= {key: text for key, text in (("url", url), ("name", name), ("ca", ca)) if text is not None}
    return body


def _path(webhook_id: str, rest: str = "") -> str:
    return f"/webhooks/{quote(webhook_id, safe='')}{rest}"
