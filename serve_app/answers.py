"""Responses built by hand: JSON bytes that need no further validation."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.responses import Response

from helix_ray.core.orders import AnyReceipt
from helix_ray.core.values import shown

SEQ_HEADER = b"x-helix-seq"
REPLAYED_HEADER = b"idempotency-replayed"
JSON_HEADER = (b"content-type", b"application/json")


def json_answer(value: Any, status: int = 200, receipt: AnyReceipt | None = None) -> Response:
    """Return a JSON response; with a receipt, its headers give the journal's position
    and whether it is a replay.

    A value without a JSON form is shown escaped: it must not make a whole listing fail.
    """
    try:
        text = orjson.dumps(value)
    except TypeError:
        text = orjson.dumps(shown(value))
    response = _Prepared(text, status)
    if receipt is not None:
        _add_receipt(response, receipt)
    return response


def no_content(receipt: AnyReceipt) -> Response:
    """Return 204 without a body."""
    response = Response(status_code=204)
    _add_receipt(response, receipt)
    return response


def _add_receipt(response: Response, receipt: AnyReceipt) -> None:
    response.raw_headers.append((SEQ_HEADER, b"%d" % receipt.seq))
    if receipt.replayed:
        response.raw_headers.append((REPLAYED_HEADER, b"true"))


class _Prepared(Response):
    """A response with a body and two headers, without Starlette's general work."""

    def __init__(self, body: bytes, status: int) -> None:
        self.status_code = status
        self.background = None
        self.body = body
        self.raw_headers = [JSON_HEADER, (b"content-length", b"%d" % len(body))]
