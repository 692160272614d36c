"""The type of functions that fold one fact."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from helix_ray.core.events import Fact
from helix_ray.core.state import State

Appliers = dict[type[Any], Callable[[State, Any, Fact], None]]
