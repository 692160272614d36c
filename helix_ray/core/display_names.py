"""The rule for names that people give to what has an id: projects, devices, webhooks, API tokens.

They are shown in tables and messages only, so letters of any script are allowed, but no separator other than
a space and no format characters, such as the joiners of some scripts and emoji: control characters reach
terminals, and marks of direction make one name look like another.
"""

from __future__ import annotations

from helix_ray.core.errors import Rejected, invalid


def refuse_display_name(
    kind: str, name: str, chars_max: int, *, may_be_empty: bool = False
) -> Rejected | None:
    """Return why a text is not a valid name of such an object; None when it is."""
    if (may_be_empty or name.strip()) and len(name) <= chars_max and name.isprintable():
        return None
    least = "at most" if may_be_empty else "1 to"
    message = f"Invalid {kind} name: it must have {least} {chars_max} printable characters"
    return invalid(message, field="name", chars_max=chars_max)
