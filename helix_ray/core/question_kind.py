"""The properties of every kind of question, besides its roles (core/access.py), and what it is answered
with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Generic, TypeVar

from helix_ray.core.access import Verb
from helix_ray.core.read_classes import ReadClass

View = TypeVar("View", bound=Mapping[str, object])
View_co = TypeVar("View_co", bound=Mapping[str, object], covariant=True)


class QuestionKind(Verb, Generic[View_co]):
    """A kind of question; `View_co` is what it is answered with."""

    __slots__ = ()

    # Whether its answer may take long: it is sent to the master alone, so that short ones do not wait for it.
    travels_alone: ClassVar[bool] = False
    # Whether its answer takes about ten microseconds: a few of them are answered in one turn of the loop.
    short: ClassVar[bool] = False
    # Whether its answer takes tens of milliseconds on large clusters: each gets its own turn of the loop.
    one_at_a_time: ClassVar[bool] = False
    # Whether its answer scans all tasks: it is made in steps, with other work in between.
    in_steps: ClassVar[bool] = False
    # Whether a node answers it, and not the master.
    of_node: ClassVar[bool] = False
    # Whether the notifier answers it, and not the master.
    of_notifier: ClassVar[bool] = False
    # Whether the historian answers it from the journal's file, and not the master.
    of_journal: ClassVar[bool] = False
    # Whether the historian adds the history of hosts to the master's answer.
    of_hosts: ClassVar[bool] = False
    # Whether the node that ran the task may have kept a part of the answer.
    kept_on_nodes: ClassVar[bool] = False
    # Whether replicas keep the answers, by `task_id`, as long as the task has not changed.
    cached: ClassVar[bool] = False
    # The class of sensitive data that its answer has, if any (core/reads.py).
    reads: ClassVar[ReadClass | None] = None
    # Whether a SyncDevices actor answers it, and not the master.
    of_sync: ClassVar[bool] = False
    # How long a wait for its news rests between two looks, in seconds.
    rest_s: ClassVar[float] = 0.0
