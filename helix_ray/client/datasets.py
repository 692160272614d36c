"""The client's call about data sets."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from helix_ray.client.readable import readable
from helix_ray.client.session import ClientSession
from helix_ray.client.transport import Form, Request

if TYPE_CHECKING:
    from helix_ray.wire.datasets import DatasetOut


class DatasetCalls:
    """The client's method for data sets; answers are the dicts of docs/api.md."""

    _session: ClientSession

    def push_dataset(self, file: str | os.PathLike[str]) -> DatasetOut:
        """Upload a file of rows, and return its digest, which is the `dataset` of an inference.

        Raises Invalid for a file that cannot be read.
        """
        request = Request("POST", "/datasets", form=Form({}, {"file": readable("file", file)}))
        pushed: DatasetOut = self._session.send(request).data
        return pushed
