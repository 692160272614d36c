"""The names of the strategies of placement, for those who only name one: core/placement has what they do."""

from __future__ import annotations

from typing import Literal

Name = Literal["round_robin", "load_balanced", "capability_based", "pack", "spread"]
# A task may also ask to be placed by hand.
OfTask = Literal[Name, "manual"]

DEFAULT: Name = "capability_based"
