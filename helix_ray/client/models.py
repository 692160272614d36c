"""The client's calls about models."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import orjson

from helix_ray.client.errors import HelixError, Invalid, NotFound, ServerFault, WaitTimeout
from helix_ray.client.readable import readable
from helix_ray.client.session import ClientSession
from helix_ray.client.transport import Form, Request

if TYPE_CHECKING:
    from helix_ray.wire.models import EvidenceOut, ModelOut, PushedOut, VersionOut

# What one request may wait at the server (wire/models.py, WAIT_S_MAX), below the timeout of a request.
WAIT_S = 20.0
EXAMINING = "examining"


def _is_url(file: str | os.PathLike[str]) -> bool:
    return isinstance(file, str) and file.startswith(("https://", "http://"))


class ModelCalls:
    """The client's methods for models; answers are the dicts of docs/api.md."""

    _session: ClientSession

    def push_model(
        self,
        file: str | os.PathLike[str],
        name: str,
        *,
        calibration: str | os.PathLike[str] | None = None,
        heldout: str | os.PathLike[str] | None = None,
        project_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        activate: bool = False,
        idempotency_key: str | None = None,
    ) -> PushedOut:
        """Push an ONNX file as a version of a model, with data (.npz) to calibrate and to judge variants.

        A `file` that is a URL is fetched by the server, where its operator allows that. `metadata` has
        `licence`, `source`, `labels` and `bounds`. Raises Invalid for a file that cannot be read.
        """
        fields = {"name": name, "activate": "true" if activate else "false"}
        if project_id is not None:
            fields["project_id"] = project_id
        if metadata:
            fields["metadata"] = orjson.dumps(dict(metadata)).decode()
        source = None if _is_url(file) else file
        if source is None:
            fields["url"] = os.fspath(file)
        given = {"file": source, "calibration": calibration, "heldout": heldout}
        files = {key: readable(key, path) for key, path in given.items() if path is not None}
        request = Request("POST", "/models", form=Form(fields, files), idempotency_key=idempotency_key)
        pushed: PushedOut = self._session.send(request).data
        return pushed

    def models(self) -> list[ModelOut]:
        """Return the models that the user may use."""
        models: list[ModelOut] = self._session.call("GET", "/models")["models"]
        return models

    def model(self, name: str) -> ModelOut:
        """Return one model with its versions."""
        model: ModelOut = self._session.call("GET", _path(name))
        return model

    def model_version(self, name: str, version: int) -> VersionOut:
        """Return one version of a model."""
        found: VersionOut = self._session.call("GET", _path(name, version))
        return found

    def wait_for_model(
        self,
        name: str,
        version: int,
        timeout_s: float | None = None,
        *,
        tuned: bool = False,
        on_change: Callable[[VersionOut], None] | None = None,
    ) -> VersionOut:
        """Wait until a version has been examined, and return it; raises WaitTimeout.

        `tuned`: until every tuning that it is to get has ended as well. `on_change` gets the version at once
        and after every step, with the tasks under way and their progress in `work`.
        """
        ends_at = None if timeout_s is None else time.monotonic() + timeout_s
        found = self.model_version(name, version)
        while True:
            if on_change is not None:
                on_change(found)
            if found["settled"] if tuned else found["state"] != EXAMINING:
                return found
            left = WAIT_S if ends_at is None else ends_at - time.monotonic()
            if left <= 0:
                what = "examined and tuned" if tuned else "examined"
                message = f"{name}@{version} was not {what} within {timeout_s:g} s; that continues"
                raise WaitTimeout("TIMEOUT", message, {"open": [each["task"] for each in found["work"]]})
            wait = {"wait_s": min(WAIT_S, left), "mark": found["mark"]}
            found = self._session.call("GET", _path(name, version), **wait)

    def model_evidence(self, name: str, version: int | None = None) -> EvidenceOut:
        """Return what the gate and the tuner measured, of all versions or of one."""
        evidence: EvidenceOut = self._session.call("GET", f"{_path(name)}/evidence", version=version)
        return evidence

    def activate_model(self, name: str, version: int) -> ModelOut:
        """Make a ready version active."""
        model: ModelOut = self._session.call("POST", f"{_path(name)}/activate", {"version": version})
        return model

    def roll_back_model(self, name: str) -> ModelOut:
        """Make the version active again that was active before."""
        model: ModelOut = self._session.call("POST", f"{_path(name)}/rollback")
        return model

    def set_canary(self, name: str, version: int, percent: float) -> ModelOut:
        """Give a version a percentage of the tasks that name only the model; 0 ends that."""
        body = {"version": version, "percent": percent}
        model: ModelOut = self._session.call("POST", f"{_path(name)}/canary", body)
        return model

    def delete_model_version(self, name: str, version: int) -> None:
        """Delete a version; raises Conflict while it is active, a canary, or used by unfinished tasks."""
        self._delete(_path(name, version))

    def delete_model(self, name: str) -> None:
        """Delete a model with all its versions; raises Conflict while unfinished tasks use one."""
        self._delete(_path(name))

    def download_model(
        self, name: str, version: int, to: str | os.PathLike[str], *, variant: str | None = None
    ) -> int:
        """Write the file of a version, or of one of its variants, and return its bytes.

        The file appears when all of it has come and its SHA-256 is the server's; raises ServerFault where it
        is not, and OSError.
        """
        found = self.model_version(name, version)
        wanted = _digest_of(found, variant)
        target = Path(to)
        draft = target.with_name(f".{target.name}.part")
        hashed, size = sha256(), 0
        request = Request("GET", f"{_path(name, version)}/file", params={"variant": variant})
        try:
            with self._session.download(request) as pieces, draft.open("wb") as file:
                for piece in pieces:
                    hashed.update(piece)
                    size += file.write(piece)
            if hashed.hexdigest() != wanted:
                raise ServerFault("INTERNAL_ERROR", "The file that came is not the one that was pushed")
            draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)
        return size

    def _delete(self, path: str) -> None:
        try:
            self._session.call("DELETE", path)
        except NotFound as error:
            # An earlier try may have deleted it, though its response was lost.
            if error.attempts == 1:
                raise


def _digest_of(version: VersionOut, variant: str | None) -> str:
    if variant is None:
        return version["sha256"]
    digests = {each["name"]: each["digest"] for each in version["variants"] if each["digest"]}
    if variant in digests:
        return str(digests[variant])
    error: HelixError = Invalid(
        "VALIDATION_ERROR",
        f"{version['name']}@{version['version']} has no variant {variant}",
        {"field": "variant", "allowed_values": list(digests)},
    )
    raise error


def _path(name: str, version: int | None = None) -> str:
    path = f"/models/{quote(name, safe='')}"
    return path if version is None else f"{path}/versions/{version}"
