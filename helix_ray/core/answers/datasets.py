"""Answers questions about data sets."""

from __future__ import annotations

from collections.abc import Sequence

from helix_ray.core import questions as q
from helix_ray.core.access import Principal
from helix_ray.core.answers.picture import Answerers, Picture
from helix_ray.core.datasets import DataSet
from helix_ray.core.errors import Rejected, not_found
from helix_ray.core.membership import refuse_use_within, seen_uploads
from helix_ray.core.state import State
from helix_ray.core.stored import limit_bytes, stored_bytes, stored_files
from helix_ray.core.views.datasets import DatasetsView, DatasetView, StoredView


def _list(picture: Picture, question: q.ListDatasets, by: Principal) -> DatasetsView:
    state = picture.state
    seen = [uploads for digest in state.datasets if (uploads := seen_uploads(state, by, digest))]
    seen.sort(key=lambda uploads: -uploads[-1].uploaded_at)
    return {"datasets": [_view(state, uploads) for uploads in seen]}


def _get(picture: Picture, question: q.GetDataset, by: Principal) -> DatasetView | Rejected:
    uploads = seen_uploads(picture.state, by, question.digest)
    return _view(picture.state, uploads) if uploads else not_found("Data set", question.digest)


def _view(state: State, uploads: Sequence[DataSet]) -> DatasetView:
    return {
        "digest": uploads[0].digest,
        "bytes": uploads[0].bytes,
        "uploads": [
            {
                "owner": user.username if (user := state.users.get(each.owner)) is not None else each.owner,
                "project_id": each.project,
                "uploaded_at": each.uploaded_at,
            }
            for each in uploads
        ],
    }


def _stored(picture: Picture, question: q.GetStored, by: Principal) -> StoredView | Rejected:
    refusal = refuse_use_within(picture.state, by, question.project_id)
    if refusal is not None:
        return refusal
    project = question.project_id or by.id
    return {
        "project_id": project,
        "stored_bytes": stored_bytes(stored_files(picture.state, project)).get(project, 0),
        "limit_bytes": limit_bytes(picture.state, picture.policy, project),
    }


DATASET_ANSWERS: Answerers = {q.ListDatasets: _list, q.GetDataset: _get, q.GetStored: _stored}
