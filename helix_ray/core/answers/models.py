"""Answers questions about models."""

from __future__ import annotations

from helix_ray.core import questions as q
from helix_ray.core.access import Principal
from helix_ray.core.answers.picture import Answerers, NewsChecks, Picture
from helix_ray.core.errors import Rejected, not_found
from helix_ray.core.inference_run import dataset_of
from helix_ray.core.lifecycle import TERMINAL
from helix_ray.core.membership import sees_model
from helix_ray.core.models import ModelRecord, files_named_by, reference
from helix_ray.core.result_files import result_files
from helix_ray.core.state import Task
from helix_ray.core.views.models import (
    EvidenceView,
    ModelsView,
    ModelView,
    NamedFilesView,
    VersionView,
    evidence_view,
    model_view,
    version_view,
)


def _list_models(picture: Picture, question: q.ListModels, by: Principal) -> ModelsView:
    state = picture.state
    seen = (model for _, model in sorted(state.models.items()) if sees_model(state, by, model))
    return {"models": [model_view(state, model) for model in seen]}


def _get_model(picture: Picture, question: q.GetModel, by: Principal) -> ModelView | Rejected:
    model = _find(picture, question.name, by)
    return model if isinstance(model, Rejected) else model_view(picture.state, model)


def _get_version(picture: Picture, question: q.GetModelVersion, by: Principal) -> VersionView | Rejected:
    model = _find(picture, question.name, by)
    if isinstance(model, Rejected):
        return model
    version = model.versions.get(question.version)
    if version is None:
        return not_found("Model version", reference(model.id, question.version))
    return version_view(picture.state, model, version)


def _has_changed(question: q.GetModelVersion, reply: VersionView) -> bool:
    if question.mark is None:
        return reply["state"] != "examining"
    return reply["mark"] != question.mark


def _get_evidence(picture: Picture, question: q.GetModelEvidence, by: Principal) -> EvidenceView | Rejected:
    model = _find(picture, question.name, by)
    if isinstance(model, Rejected):
        return model
    if question.version is not None and question.version not in model.versions:
        return not_found("Model version", reference(model.id, question.version))
    return evidence_view(model, question.version)


def _named_files(picture: Picture, question: q.NamedFiles, by: Principal) -> NamedFilesView:
    named = {
        file["digest"]
        for model in picture.state.models.values()
        for version in model.versions.values()
        for file in files_named_by(version)
    }
    named |= {
        digest
        for task in picture.state.tasks.values()
        if task.status not in TERMINAL and (digest := _data_set_of(task)) is not None
    }
    named.update(result_files(picture.state.tasks.values()))
    return {"digests": sorted(named), "datasets": [*picture.state.datasets]}


def _data_set_of(task: Task) -> str | None:
    run = task.run
    return dataset_of(run) if run is not None and run["kind"] == "inference" else None


def _find(picture: Picture, name: str, by: Principal) -> ModelRecord | Rejected:
    model = picture.state.models.get(name)
    if model is None or not sees_model(picture.state, by, model):
        return not_found("Model", name)
    return model


MODEL_ANSWERS: Answerers = {
    q.ListModels: _list_models,
    q.GetModel: _get_model,
    q.GetModelVersion: _get_version,
    q.GetModelEvidence: _get_evidence,
    q.NamedFiles: _named_files,
}
MODEL_NEWS: NewsChecks = {q.GetModelVersion: _has_changed}
