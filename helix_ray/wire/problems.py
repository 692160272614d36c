"""The error envelope of every answer that is not a success, as a model."""

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
    """What an error looks like, whichever layer it comes from."""

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
