"""Folds facts about models."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from helix_ray.core import events as ev
from helix_ray.core.evolve.applier import Appliers
from helix_ray.core.model_records import TuningRecord
from helix_ray.core.models import (
    DELETED_VERSIONS_KEPT,
    EARLIER_KEPT,
    ModelRecord,
    ModelTask,
    ModelVersion,
)
from helix_ray.core.state import State


def _pushed(state: State, event: ev.ModelVersionPushed, fact: ev.Fact) -> None:
    model = state.models.get(event.id)
    if model is None or model.deleted:
        newest = 0 if model is None else model.newest
        model = state.models[event.id] = ModelRecord(
            id=event.id, owner=event.owner, project=event.project, created_at=fact.at, newest=newest
        )
    version = ModelVersion(
        number=event.version,
        owner=event.owner,
        file=event.file,
        calibration=event.calibration,
        heldout=event.heldout,
        metadata=event.metadata,
        pushed_at=fact.at,
        examination=event.examination,
        activate=event.activate,
    )
    model.newest = max(model.newest, event.version)
    model.versions[event.version] = version
    index_version(state, model, version)


def _examined(state: State, event: ev.ModelVersionExamined, fact: ev.Fact) -> None:
    version = _change(
        state,
        event,
        state=event.state,
        reason=event.reason,
        report=event.report,
        examined_at=fact.at,
    )
    if version.report is not None:
        state.model_tasks.pop(version.examination, None)


def _activation_asked(state: State, event: ev.ModelActivationAsked, fact: ev.Fact) -> None:
    _change(state, event, activate=True)


def _activated(state: State, event: ev.ModelActivated, fact: ev.Fact) -> None:
    model = state.models[event.id]
    if model.active is not None and model.active != event.version:
        model.earlier = [*model.earlier, model.active][-EARLIER_KEPT:]
    _make_active(model, event.version)


def _rolled_back(state: State, event: ev.ModelRolledBack, fact: ev.Fact) -> None:
    model = state.models[event.id]
    while model.earlier and model.earlier.pop() != event.version:
        pass
    _make_active(model, event.version)


def _make_active(model: ModelRecord, version: int) -> None:
    model.active = version
    model.canaries.pop(version, None)


def _canary_set(state: State, event: ev.ModelCanarySet, fact: ev.Fact) -> None:
    canaries = state.models[event.id].canaries
    canaries.pop(event.version, None)
    if event.percent > 0:
        canaries[event.version] = event.percent


def _version_deleted(state: State, event: ev.ModelVersionDeleted, fact: ev.Fact) -> None:
    _forget(state, state.models[event.id], event.version)


def _deleted(state: State, event: ev.ModelDeleted, fact: ev.Fact) -> None:
    model = state.models[event.id]
    for number in list(model.versions):
        _forget(state, model, number)
    model.active, model.earlier, model.canaries = None, [], {}
    model.deleted = True


def _forget(state: State, model: ModelRecord, number: int) -> None:
    """Mark a version as deleted; it keeps who pushed what, and the oldest deleted ones go."""
    version = model.versions[number]
    for task_id in (version.examination, *(each["task"] for each in version.tunings.values())):
        state.model_tasks.pop(task_id, None)
    model.versions[number] = replace(version, state="deleted", reason=None, report=None, tunings={})
    model.earlier = [each for each in model.earlier if each != number]
    deleted = [each.number for each in model.versions.values() if each.state == "deleted"]
    for oldest in deleted[:-DELETED_VERSIONS_KEPT]:
        del model.versions[oldest]


def _tuning_begun(state: State, event: ev.ModelTuningBegun, fact: ev.Fact) -> None:
    before = state.models[event.id].versions[event.version].tunings.get(event.node_class)
    if before is not None:
        state.model_tasks.pop(before["task"], None)
    tuning: TuningRecord = {
        "task": event.task,
        "state": "tuning",
        "reason": None,
        "machine": {},
        "choices": [],
        "evidence": None,
        "at": fact.at,
        "tries": 1 if before is None else before["tries"] + 1,
        "again_at": None,
    }
    _set_tuning(state, event, tuning)
    state.model_tasks[event.task] = ModelTask(event.id, event.version, event.node_class)


def _tuned(state: State, event: ev.ModelTuned, fact: ev.Fact) -> None:
    before = state.models[event.id].versions[event.version].tunings[event.node_class]
    tuning: TuningRecord = {
        "task": before["task"],
        "state": "tuned" if event.state == "tuned" else "failed",
        "reason": event.reason,
        "machine": event.machine,
        "choices": event.choices,
        "evidence": event.evidence,
        "at": fact.at,
        "tries": before["tries"],
        "again_at": None if event.again_after_s is None else fact.at + event.again_after_s,
    }
    _set_tuning(state, event, tuning)
    if event.state == "tuned":
        state.model_tasks.pop(before["task"], None)


def _set_tuning(state: State, event: ev.ModelTuningBegun | ev.ModelTuned, tuning: TuningRecord) -> None:
    version = state.models[event.id].versions[event.version]
    _change(state, event, tunings={**version.tunings, event.node_class: tuning})


def _change(folded: State, event: Any, **changes: Any) -> ModelVersion:
    """Replace a version: a snapshot may refer to the old one."""
    versions = folded.models[event.id].versions
    versions[event.version] = replace(versions[event.version], **changes)
    return versions[event.version]


def index_version(state: State, model: ModelRecord, version: ModelVersion) -> None:
    """Index the tasks of a version whose results are not known yet."""
    if version.state == "deleted":
        return
    if version.report is None:
        state.model_tasks[version.examination] = ModelTask(model.id, version.number, None)
    for node_class, tuning in version.tunings.items():
        if tuning["state"] != "tuned":
            state.model_tasks[tuning["task"]] = ModelTask(model.id, version.number, node_class)


MODEL_FACTS: Appliers = {
    ev.ModelVersionPushed: _pushed,
    ev.ModelVersionExamined: _examined,
    ev.ModelActivationAsked: _activation_asked,
    ev.ModelActivated: _activated,
    ev.ModelRolledBack: _rolled_back,
    ev.ModelCanarySet: _canary_set,
    ev.ModelVersionDeleted: _version_deleted,
    ev.ModelDeleted: _deleted,
    ev.ModelTuningBegun: _tuning_begun,
    ev.ModelTuned: _tuned,
}
