"""The client's calls about data sets."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from urllib.parse import quote

from helix_ray.client.readable import readable
from helix_ray.client.session import ClientSession
from helix_ray.client.transport import Form, Request

if TYPE_CHECKING:
    from helix_ray.wire.datasets import DatasetOut, UploadedOut


class DatasetCalls:
    """The client's methods for data sets; answers are the dicts of docs/api.md."""

    _session: ClientSession

    def push_dataset(self, file: str | os.PathLike[str], *, project_id: str | None = None) -> DatasetOut:
        """Upload a file of rows, and return its digest, which is the `dataset` of an inference.

        The members of a project may use it, too. Raises Invalid for a file that cannot be read.
        """
        fields = {} if project_id is None else {"project_id": project_id}
        request = Request("POST", "/datasets", form=Form(fields, {"file": readable("file", file)}))
        pushed: DatasetOut = self._session.send(request).data
        return pushed

    def datasets(self) -> list[UploadedOut]:
        """Return the data sets that you may use, the last uploaded first."""
        found: list[UploadedOut] = self._session.send(Request("GET", "/datasets")).data["datasets"]
        return found

    def dataset(self, digest: str) -> UploadedOut:
        """Return a data set; raises NotFound."""
        found: UploadedOut = self._session.send(Request("GET", _path(digest))).data
        return found

    def delete_dataset(self, digest: str) -> None:
        """Delete what you have uploaded of a file; raises NotFound, or Forbidden for that of others."""
        self._session.send(Request("DELETE", _path(digest)))


def _path(digest: str) -> str:
    return f"/datasets/{quote(digest, safe='')}"
