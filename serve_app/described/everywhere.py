"""What a field means in every model that has one of this name, unless the model says otherwise."""

from __future__ import annotations

from typing import Final

FIELDS: Final = {
    "created_at": "When it was created, in ISO 8601.",
    "priority": "How urgent the task is.",
    "updated_at": "When it was last changed, in ISO 8601.",
}
