"""All kinds of orders and questions by name, for code that gets a name: a route's verb, a report."""

from __future__ import annotations

from typing import Final, get_args

from helix_ray.core.access import Verb
from helix_ray.core.orders import OrderBody
from helix_ray.core.questions import Question

VERBS: Final[dict[str, type[Verb]]] = {
    kind.__name__: kind for kind in (*get_args(OrderBody), *get_args(Question))
}
