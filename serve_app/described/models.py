"""What the fields of models, their versions and their evidence mean, and of data sets."""

from __future__ import annotations

from typing import Final

FIELDS: Final = {
    "PushForm": {
        "name": "The name of the model; a further file under the same name is its next version.",
        "file": "The ONNX file.",
        "url": "The address of the file, in place of `file`, on a host of HELIX_MODEL_URL_HOSTS.",
        "calibration": "A .npz file with rows that calibrate INT8, an array for each input.",
        "heldout": (
            "A .npz file with rows that judge variants, an array for each input and optionally `labels`."
        ),
        "project_id": "The project whose members may use the model.",
        "metadata": "A JSON object with `licence`, `source`, `labels` and `bounds` of the gate.",
        "activate": "Whether the version becomes active as soon as it is ready.",
    },
    "UploadForm": {
        "project_id": "The project whose members may use the data set; it comes before the file.",
        "file": "The file of rows: .npy, .npz, .parquet or JSON lines.",
    },
    "PushedOut": {
        "version": "The number of the version that has the pushed files.",
        "created": "Whether the push has made it; false where the same files were pushed before.",
    },
    "PushedOut VersionOut VersionLineOut": {
        "sha256": "The SHA-256 of the pushed file, in hex.",
        "bytes": "The size of the pushed file, in bytes.",
    },
    "PushedOut VersionOut VersionEvidenceOut": {
        "examination": "The id of the task that examines it.",
    },
    "PushedOut VersionOut ModelOut EvidenceOut": {"name": "The name of the model."},
    "ModelsOut": {"models": "The models that the caller may use, by name."},
    "ModelOut": {
        "owner": "The name of the user who pushed its first version; the id of one who was removed.",
        "project_id": "The project whose members may use it; null: it belongs to none.",
        "created_at": "When its first version was pushed, in ISO 8601.",
        "active": "The number of the version that tasks get which name only the model; null: none is active.",
        "earlier": "The number of the version to which a rollback goes; null: there is none.",
        "canaries": "Versions that get a part of these tasks.",
        "versions": "Its versions, the newest first.",
    },
    "EvidenceOut": {
        "active": "The number of the active version; null: none is active.",
        "versions": "What was measured of each version, the newest first.",
    },
    "ActivateIn": {"version": "The number of the version to activate."},
    "CanaryIn CanaryOut": {"version": "The number of the version."},
    "CanaryIn": {"percent": "The part of the tasks that name only the model, in percent; 0 ends it."},
    "CanaryOut": {"percent": "The part of the tasks that name only the model, in percent."},
    "VersionOut VersionLineOut VersionEvidenceOut": {
        "version": "The number of the version, which is never given again.",
        "state": "`examining`, `ready`, `rejected` or `deleted`.",
        "reason": "Why it is rejected; null: it is not.",
    },
    "VersionOut VersionLineOut": {
        "pushed_by": "The name of the user who pushed it; the id of one who was removed.",
        "pushed_at": "When it was pushed, in ISO 8601.",
        "tunings": "On which classes of nodes it was tuned, or is to be.",
    },
    "VersionLineOut": {"variants": "The names of the variants that may be used."},
    "VersionOut VersionEvidenceOut": {
        "examined_at": "When its examination ended, in ISO 8601; null: it has not.",
        "variants": (
            "Its variants: `name`, `digest`, `bytes`, `state`, `reason`, `arithmetic` and what the `gate` "
            "measured."
        ),
    },
    "VersionOut": {
        "calibration": "The file with rows that calibrate; null: there was none.",
        "heldout": "The file with rows that judge; null: there was none.",
        "metadata": "What its publisher said: `licence`, `source`, `labels`, `bounds`.",
        "active": "Whether tasks get it that name only the model.",
        "canary_percent": "The part of the tasks that it gets as a canary, in percent; 0: it is none.",
        "inputs": "Its inputs: `name`, `dtype` and `shape`, in which text or null is any size.",
        "outputs": "Its outputs: `name`, `dtype` and `shape`, in which text or null is any size.",
        "opset": "The version of ONNX's operators; null: not known.",
        "batch": (
            "How many rows it takes: `dynamic`, `fixed N`, or `none` where rows change each other; "
            "null: not known."
        ),
        "warnings": "What its examination noticed, in sentences.",
        "settled": "Whether its examination and all tunings that it is to get have ended.",
        "work": "The tasks under way for it.",
        "mark": "A text that differs after every step of its examination and tunings, for the query `mark`.",
    },
    "VersionEvidenceOut": {"tunings": "What the tuner measured and chose, by class of nodes."},
    "TuningLineOut TuningOut": {
        "node_class": "The class of nodes: those with the same hardware, providers and runtime.",
        "reason": "Why it failed or has not begun; null: there is nothing to explain.",
    },
    "TuningLineOut": {"state": "`untuned`, `tuning`, `tuned` or `failed`."},
    "TuningOut": {
        "task": "The id of the task that tunes it.",
        "state": "`tuning`, `tuned` or `failed`.",
        "machine": "The node on which it was measured, as the tuner describes it.",
        "choices": (
            "What is run for which `batch`: `variant`, `provider`, `threads`, and `ratio` to FP32 with its "
            "interval, `low` to `high`."
        ),
        "evidence": "The file with all measurements; null: there is none.",
        "at": "When this state began, in ISO 8601.",
        "again_at": "When a tuning that failed is tried again, in ISO 8601; null: it is not.",
        "rows": "All measurements; none where their file is gone.",
    },
    "ModelWorkOut": {
        "task": "The id of the task.",
        "kind": "`examination` or `tuning`.",
        "node_class": "The class of nodes that is tuned; null: it is the examination.",
        "status": "The status of the task.",
        "progress": "How far the task is, in percent.",
        "note": "What it is doing, in its own words; null: it has not said.",
    },
    "FileOut": {"digest": "The SHA-256 of the file, in hex.", "bytes": "The size of the file, in bytes."},
    "DatasetOut UploadedOut": {
        "digest": "The SHA-256 of the file in hex, by which an inference names it.",
        "bytes": "The size of the file, in bytes.",
    },
    "DatasetOut": {"project_id": "The project whose members may use it; null: only who uploaded it."},
    "DatasetsOut": {"datasets": "The data sets that the caller may use, the last uploaded first."},
    "UploadedOut": {"uploads": "Who has uploaded it, as far as the caller may know, the oldest first."},
    "UploadOut": {
        "owner": "The name of the user who uploaded it; the id of one who was removed.",
        "project_id": "The project whose members may use it; null: only its uploader.",
        "uploaded_at": "When it was uploaded, in ISO 8601.",
    },
}
