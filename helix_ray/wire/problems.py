"""The model of the error envelope of all responses that are not a success."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from helix_ray.core.errors import ErrorCode


class ErrorBody(BaseModel):
    """A stable code, a sentence for people, details for programs."""

    model_config = ConfigDict(extra="forbid")

    code: ErrorCode
    message: str
    details: dict[str, JsonValue]


class Problem(BaseModel):
    """The error envelope, which is the same for all layers."""

    model_config = ConfigDict(
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

    error: ErrorBody
    request_id: str = Field(examples=["req-abc123"])
