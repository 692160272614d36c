"""What a field means in every model that has one of this name, unless the model says otherwise."""

from __future__ import annotations

from typing import Final

FIELDS: Final = {
    "created_at": "When it was created, in ISO 8601.",
    "hostname": "The name of the host.",
    "priority": "How urgent the task is.",
    "registered_at": "When it registered, in ISO 8601.",
    "tasks_completed": "How many tasks were completed on it.",
    "updated_at": "When it was last changed, in ISO 8601.",
}
