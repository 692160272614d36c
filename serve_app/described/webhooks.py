"""What the fields of webhooks, their deliveries and the stream of events mean."""

from __future__ import annotations

from typing import Final

FIELDS: Final = {
    "WebhookIn": {
        "url": "Where events are sent.",
        "events": "Names of events, families such as `task.*`, or `*`.",
        "secret": "The secret that signs; null: one is made.",
        "name": "A name for people; null: none.",
        "projects": "Only tasks of these projects; none or null: of all.",
        "types": "Only tasks of these types; none or null: of all.",
        "labels": "Only tasks that have all these labels, as values by name; none or null: all tasks.",
        "statuses": "Only tasks with these statuses; none or null: with any.",
        "headers": "Headers of your own, as values by name, which are not shown again; null: none.",
        "ca": "Certificates in PEM that the receiver's must chain to; null: those of the system.",
    },
    "WebhookUpdateIn": {
        "url": "Where events are sent; null: it stays.",
        "events": "Names of events, families such as `task.*`, or `*`; null: they stay.",
        "name": "A name for people; null: it stays.",
        "projects": "Only tasks of these projects; none: of all. Null: they stay.",
        "types": "Only tasks of these types; none: of all. Null: they stay.",
        "labels": (
            "Only tasks that have all these labels, as values by name; none: all tasks. Null: they stay."
        ),
        "statuses": "Only tasks with these statuses; none: with any. Null: they stay.",
        "headers": "Headers of your own, as values by name, which are not shown again; null: they stay.",
        "ca": (
            "Certificates in PEM that the receiver's must chain to; an empty text: those of the system. "
            "Null: they stay."
        ),
    },
    "ResumeIn": {
        "pending": "What becomes of held messages: `replay` sends them, `skip` drops them; null: `replay`."
    },
    "RotateIn": {
        "secret": "The other secret; null: one is made.",
        "overlap_s": "For how many seconds the secret before signs as well; null: a day.",
    },
    "RedeliverIn": {
        "seq": "The seq of the delivery to send again; null: `after` is given.",
        "after": "Everything after this seq is sent again; null: `seq` is given.",
        "through": "The seq of the last fact that is sent again; null: everything since.",
    },
    "WebhookOut WebhookSignedOut": {
        "id": "The id of the webhook.",
        "url": "Where events are sent.",
        "events": "Which events it receives: their names, families such as `task.*`, or `*` for all.",
        "name": "A name for people; empty: it has none.",
        "owner": "The name of its owner.",
        "projects": "Only tasks of these projects; none: of all.",
        "types": "Only tasks of these types; none: of all.",
        "labels": "Only tasks that have all these labels, as values by name; none: all tasks.",
        "statuses": "Only tasks with these statuses; none: with any.",
        "headers": "The names of headers of its owner's, whose values are not shown.",
        "ca": "Whether the receiver is verified with certificates of its owner's.",
        "hears_projects": "The projects of the API token that created it; null: it is not limited to any.",
        "status": "`active`, `paused`, or `off` after failures.",
        "status_since": "When this status began, in ISO 8601.",
        "reason": "Why it is paused or off; null: it is not, or nothing was said.",
        "held_from": "The seq from which on messages are held; null: none are.",
        "since": "It receives the events of facts after this seq.",
        "delivered_through": "Everything up to this seq is finished, as noted every few seconds.",
        "rotated_until": "Until when a secret that was replaced signs as well, in ISO 8601; null: none does.",
    },
    "WebhookSignedOut": {
        "signing_secret": (
            "The secret that signs, which no other answer has; null: the request was repeated, and the "
            "server's key is another one."
        ),
    },
    "WebhooksOut": {"webhooks": "The webhooks, the oldest first."},
    "AskedOut": {
        "webhook_id": "The id of the webhook.",
        "seq": "The seq of the request in the journal; that of a ping names its delivery.",
    },
    "DeliveriesOut": {
        "webhook_id": "The id of the webhook.",
        "standing": "How the webhook stands.",
        "deliveries": "The deliveries of the page, newest first.",
        "next": "The `before` of the next page; null: this is the last one.",
    },
    "StandingOut": {
        "messages": "How many messages there are, by status.",
        "held": "How many messages are held; null while its owner may have no webhooks.",
        "unread_after": "Events after this seq are still in the journal; null: none are.",
        "failing_since": "Since when every request has failed, in ISO 8601; null: the last one succeeded.",
        "off_at": "When it is switched off unless a request succeeds, in ISO 8601; null: it is not failing.",
        "quiet_until": "Until when the receiver wants no request, in ISO 8601; null: it did not say so.",
    },
    "DeliveryOut": {
        "id": "The id of the message, sent as `webhook-id`.",
        "webhook_id": "The id of the webhook.",
        "seq": "The seq of the fact, which names the delivery.",
        "number": (
            "Its place among the messages of the webhook, sent as `helix-number`; null before the first try."
        ),
        "event": "The name of the event.",
        "status": "What became of it.",
        "tries": "How many times it was tried.",
        "next_try_at": "When it is tried next, in ISO 8601; null: it is not waiting.",
        "ended_at": "When it was delivered, failed for good or was dropped, in ISO 8601; null: not yet.",
        "reason": "The class of its last failure, or why it was dropped; null: neither.",
        "last_try": "The last try; null: there was none, or it is not kept.",
        "request": "The request; null: it is not known any more. Only of a single delivery.",
        "history": "All tries. Only of a single delivery.",
    },
    "TryOut": {
        "number": "Which try it was, from 1.",
        "at": "When it began, in ISO 8601.",
        "seconds": "How many seconds it took.",
        "status": "The HTTP status of the response; null: there was none.",
        "failure": "The class of the failure, such as `timeout`; null: it succeeded.",
        "reason": "What happened, in a sentence.",
        "address": "The address to which it was sent; null: it was not sent.",
        "headers": "The headers of the response, as pairs of name and value.",
        "body": "The first 4 KiB of the response.",
    },
    "RequestOut": {
        "url": "Where it is sent.",
        "headers": "Its headers, as pairs of name and value, with secrets masked.",
        "body": "Its body, with the signature masked.",
    },
    "EventFrame": {
        "id": "The seq of the fact, the cursor with which to go on.",
        "event": "The name of the event, or `bookmark`.",
        "retry": "How many milliseconds to wait before connecting again.",
        "data": "The event, or how far the reader is, as JSON in one line.",
    },
    "EventOut": {
        "seq": "The seq of the fact.",
        "event": "The name of the event.",
        "timestamp": "When it happened, in ISO 8601.",
        "subject": "The id of what it is about.",
        "project_id": "The project of what it is about; null: it has none.",
        "data": "What the event says, which depends on its name.",
    },
    "BookmarkOut": {"seq": "Everything up to this seq was sent or is not for the reader."},
}
