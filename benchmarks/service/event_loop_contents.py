"""What lies in the service whose event loop is measured: many things, and things that are as large as they may be."""

import hashlib
import json
import os
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, Final
from zipfile import ZipFile

from gateways import prepared

from infra.accounts import api_keys
from infra.db.database import now
from infra.jobs import creation, lifecycle
from infra.jobs.events import Entry
from infra.jobs.lifecycle import Outcome, StoredFile
from infra.settings import Settings
from infra.storage.store import Store
from infra.uploads import uploads
from secateur.ids import new_id
from secateur.protocol.states import JobState, UploadState
from secateur.reports.summaries import DatasetSummary, ModelSummary
from secateur.specs.reading import Reading
from secateur.specs.spec import CompressSpec

NUM_THINGS: Final = 200
"""As many as a page of a list shows."""

LARGE_LAYERS: Final = 17_000
LARGE_CLASSES: Final = 100_000
"""Summaries of about eight megabytes, which is as large as they may be."""

STEPS: Final[list[Any]] = [*({"kind": "prune", "sparsity": 0.5 + 0.01 * n} for n in range(30)), {"kind": "quantize"}]
TENSOR: Final = {"name": "x", "shape": [None, 4], "dtype": "float32"}


def keras_file(num_layers: int) -> bytes:
    """A model that passes the gateway's checks."""
    layers = [
        {"class_name": "Dense", "module": "keras.layers", "config": {"name": f"d{number}", "units": 3}}
        for number in range(num_layers)
    ]
    config = {"class_name": "Sequential", "module": "keras", "config": {"name": "s", "layers": layers}}
    buffer = BytesIO()
    with ZipFile(buffer, "w") as archive:
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.0.0"}))
        archive.writestr("model.weights.h5", b"\x89HDF\r\n\x1a\n" + bytes(4096))
    return buffer.getvalue()


KERAS: Final = keras_file(3)


def model_summary(num_layers: int) -> dict[str, Any]:
    """What a check found of a model with so many layers."""
    layers = [
        {"name": f"{n}" + "x" * 200, "class_name": "Dense", "num_params": 9, "kernel_shape": [3, 3], "prunable": True}
        for n in range(num_layers)
    ]
    given = {"name": "m", "inputs": [TENSOR], "outputs": [TENSOR], "num_params": 9, "layers": layers}
    return ModelSummary.model_validate(given).model_dump(mode="json")


def dataset_summary(num_classes: int) -> dict[str, Any]:
    """What a check found of a data set with so many classes."""
    given = {
        "splits": {"train": {"num_samples": 64}, "test": {"num_samples": 32}},
        "sample_shape": [4],
        "sample_dtype": "float32",
        "sample_min": 0.0,
        "sample_max": 1.0,
        "label_shape": [],
        "label_dtype": "int64",
        "label_kind": "classes",
        "num_classes": num_classes,
        "classes": ["x" * 60 + str(n) for n in range(num_classes)],
    }
    return DatasetSummary.model_validate(given).model_dump(mode="json")


class Contents:
    """The rows and files of a service, and ways to add more."""

    def __init__(self, folder: Path) -> None:
        self._database = prepared(folder)
        self._store = Store.from_url(Settings(data_dir=folder, database_url="", store_url="").store)
        self._folder = folder
        self.large_model = self.upload("model", model_summary(LARGE_LAYERS))
        self.large_dataset = self.upload("dataset", dataset_summary(LARGE_CLASSES))
        small_models = [self.upload("model", model_summary(3)) for _ in range(NUM_THINGS)]
        small_datasets = [self.upload("dataset", dataset_summary(3)) for _ in range(NUM_THINGS)]
        self.model, self.dataset = small_models[-1], small_datasets[-1]
        self.jobs = [self.job() for _ in range(NUM_THINGS)]
        self.long_jobs = [self.job(model_id=small_models[0], steps=[long_step()]) for _ in range(50)]
        self.long_jobs_of = small_models[0]
        self.job_with_events, self.ended_job = self._job_with_events(), self._ended()

    def close(self) -> None:
        self._database.close()

    def pair(self) -> dict[str, Any]:
        """Where a spec begins."""
        return {"model_id": self.model, "dataset_id": self.dataset}

    def upload(self, kind: uploads.Kind, summary: Mapping[str, Any], *, digest: str | None = None) -> str:
        """A row of an upload that was checked. Returns its id."""
        known = {"digest": digest or new_id("job").replace("job_", "sha256:"), "reading": Reading(), "now": now()}
        with self._database.write() as session:
            row, _ = uploads.register(session, kind, num_bytes=8, name="x.keras", format="x", **known)  # type: ignore[arg-type]
            row.state, row.summary = UploadState.READY, dict(summary)
            return row.id

    def known_content(self) -> dict[str, str]:
        """Make the bytes of ``KERAS`` an upload that has a large summary."""
        digest = "sha256:" + hashlib.sha256(KERAS).hexdigest()
        return {"id": self.upload("model", model_summary(LARGE_LAYERS), digest=digest)}

    def job(self, **changes: Any) -> str:
        """A queued job with labels and nearly as many steps as there may be. Returns its id."""
        labels = {f"label {number}": "x" * 200 for number in range(32)}
        spec = self.pair() | {"steps": STEPS, "labels": labels} | changes
        with self._database.write() as session:
            return creation.create_job(session, CompressSpec.model_validate(spec)).id

    def cancelled_job(self) -> dict[str, str]:
        """A job that can be retried, or deleted."""
        job_id = self.job()
        with self._database.write() as session:
            lifecycle.cancel(session, job_id)
        return {"id": job_id}

    def admin_key(self) -> str:
        """The text of a new key. From now on the service needs keys."""
        with self._database.write() as session:
            return api_keys.create(session, name="x", owner="local", scopes=["admin"], now=now())[1]

    def _job_with_events(self) -> str:
        job_id = self.job()
        entries = [Entry("log", {"message": "x" * 2000, "logger": "engine"}) for _ in range(1000)]
        with self._database.write() as session:
            lifecycle.claim(session, job_id, lease_seconds=3600)
            lifecycle.renew(session, job_id, 1, steps=[], lease_seconds=3600, entries=entries)
        return job_id

    def _ended(self) -> str:
        job_id, files = self.job(), []
        types = {"report.json": "application/json", "report.html": "text/html", "model.tflite": "application/x"}
        for name, media_type in types.items():
            path = self._folder / name
            path.write_bytes(os.urandom(8 << 20))
            files.append(StoredFile(name, media_type, *self._store.put(path)))
        with self._database.write() as session:
            lifecycle.claim(session, job_id, lease_seconds=3600)
            lifecycle.finish(session, job_id, 1, Outcome(JobState.SUCCEEDED, files=files), steps=[])
        return job_id


def long_step() -> dict[str, Any]:
    """A step of about 700 kilobytes, which names each of 10,000 layers."""
    return {"kind": "prune", "sparsity": 0.5, "skip_layers": [f"{n}" + "x" * 60 for n in range(10_000)]}
