"""The error envelope of all responses that are not a success."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field, JsonValue, with_config
from typing_extensions import TypedDict

from helix_ray.core.errors import ErrorCode
from helix_ray.wire.values import CLOSED


@with_config(CLOSED)
class ErrorBody(TypedDict):
    """A stable code, a sentence for people, details for programs."""

    code: ErrorCode
    message: str
    details: dict[str, JsonValue]


@with_config(
    ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "error": {
                        "code": "VALIDATION_ERROR",
                        "message": "Invalid task priority",
                        "details": {
                            "field": "priority",
                            "allowed_values": ["low", "normal", "high", "critical"],
                        },
                    },
                    "request_id": "req-abc123",
                }
            ]
        },
    )
)
class Problem(TypedDict):
    """What an error looks like, whichever layer it comes from."""

    error: ErrorBody
    request_id: Annotated[str, Field(examples=["req-abc123"])]
