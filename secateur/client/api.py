"""The service as a Python object. Every error of the service arrives as the exception that it raised.

>>> from secateur.client.api import Secateur
>>> with Secateur("http://127.0.0.1:8000") as service:  # doctest: +SKIP
...     model = service.upload_model(Path("model.keras"))
...     data = service.upload_dataset(Path("data.npz"), scale="1/255")
...     job = service.jobs.submit({"model_id": model.id, "dataset_id": data.id, "preset": "balanced"})
...     print(service.report(service.wait(job.id).id).verdicts)
"""

import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import httpx

from secateur.client import addresses, error_answers, uploading
from secateur.client.connection import Connection
from secateur.client.uploading import OnBytes
from secateur.client.views import (
    Artifact,
    ArtifactList,
    EventPage,
    Job,
    JobList,
    Key,
    KeyList,
    Limits,
    LimitsList,
    NewKey,
    Readiness,
    Upload,
)
from secateur.errors import InternalError, Unavailable
from secateur.protocol.events import EventKind, JobEvent, Level
from secateur.protocol.states import FINAL, UploadState
from secateur.reports.report import Report
from secateur.reports.search import SearchReport
from secateur.reports.sensitivity import SensitivityReport
from secateur.reports.sweep import SweepReport
from secateur.specs.reading import Reading

LONG_POLL_SECONDS = 5.0
CHECK_POLL_SECONDS = (0.1, 1.0)
OUTAGE_PAUSE_SECONDS = 1.0
OUTAGE_SECONDS = 60.0
"""How long ``wait`` puts up with a service that does not answer, for instance because it is being restarted."""


class Secateur:
    """A connection to a service. Raises errors of ``secateur.errors``; ``Unavailable`` when nothing answers."""

    def __init__(
        self, base_url: str, *, api_key: str | None = None, transport: httpx.BaseTransport | None = None
    ) -> None:
        """Connect when first asked, with this API key, else that of ``SECATEUR_API_KEY``; an empty one is none.

        Raises:
            InvalidRequest: the address is none, with what is wrong with it.
        """
        self._wire = Connection(base_url, api_key=api_key, transport=transport)
        self.base_url = self._wire.base_url

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        self._wire.close()

    def readiness(self) -> Readiness:
        """What the service says of itself; also when it is not ready."""
        response = self._wire.ask("GET", "/health/ready")
        if response.status_code not in (200, 503):
            raise error_answers.from_response(response)
        return self._wire.parse(response, Readiness)

    def upload_model(self, path: Path, *, on_bytes: OnBytes | None = None) -> Upload:
        """Upload a ``.keras`` or ``.h5`` file or a zip of a SavedModel. A worker checks it next: see ``wait_ready``."""
        return self._upload("model", path, {}, on_bytes)

    def upload_dataset(self, path: Path, *, on_bytes: OnBytes | None = None, **declared: Any) -> Upload:
        """Upload a data set and declare how it is to be read: fields of ``secateur.specs.reading.Reading``.

        ``upload_dataset(Path("flowers.csv"), label="species")``, ``upload_dataset(Path("pets.zip"), scale="1/255",
        image_size=(96, 96), classes=("cat", "dog"))``.
        """
        return self._upload("dataset", path, Reading.model_validate(declared).query(), on_bytes)

    def upload_in_pieces(
        self,
        kind: Literal["model", "dataset"],
        path: Path,
        *,
        resume: str | None = None,
        on_begin: Callable[[str], None] | None = None,
        on_bytes: OnBytes | None = None,
        **declared: Any,
    ) -> Upload:
        """Upload in pieces that can be interrupted, as large files are (``secateur.client.uploading.in_pieces``)."""
        query = Reading.model_validate(declared).query() if kind == "dataset" else {}
        told: dict[str, Any] = {"resume": resume, "on_begin": on_begin, "on_bytes": on_bytes}
        return self._upload_of(kind, uploading.in_pieces(self._wire.send, kind, path, query, **told))

    def wait_ready(self, kind: Literal["model", "dataset"], upload_id: str) -> Upload:
        """Wait for the check of an upload.

        Raises:
            UploadRefused: the upload was rejected; the error is that of its check.
        """
        pause, longest = CHECK_POLL_SECONDS
        while (upload := self._upload_of(kind, upload_id)).state == UploadState.CHECKING:
            time.sleep(pause)
            pause = min(longest, 1.5 * pause)
        if upload.failure is not None:
            raise error_answers.from_failure(upload.failure)
        return upload

    def submit(self, spec: Mapping[str, Any], *, force: bool = False, idempotency_key: str | None = None) -> Job:
        """Queue a job, or get the one that does the same work already, unless ``force`` asks for another.

        With an ``idempotency_key`` of your own the same call may be made again after an outage: it makes one job.
        """
        headers = {} if idempotency_key is None else {"Idempotency-Key": idempotency_key}
        params = {"force": "true"} if force else {}
        return self._wire.asked("POST", "/v1/jobs", params=params, headers=headers, json=dict(spec), view=Job)

    def retry(self, job_id: str) -> Job:
        """Queue one more attempt at a job that failed, was cancelled or expired."""
        return self._wire.asked("POST", f"{_job(job_id)}/retry", view=Job)

    def events(
        self,
        job_id: str,
        *,
        after: int = 0,
        level: Level = "info",
        kinds: Sequence[EventKind] = (),
        follow: bool = False,
    ) -> Iterator[JobEvent]:
        """What has happened to a job, in order; with ``follow``, also what happens until it has ended.

        A service that does not answer for a while, because it is being restarted, is waited for; no event is lost.
        """
        last_answer = time.monotonic()
        while True:
            query = {"after": after, "level": level, "kind": list(kinds), "wait": LONG_POLL_SECONDS if follow else 0}
            try:
                page = self._wire.asked("GET", f"{_job(job_id)}/events", params=query, view=EventPage)
            except Unavailable:
                if not follow or time.monotonic() > last_answer + OUTAGE_SECONDS:
                    raise
                time.sleep(OUTAGE_PAUSE_SECONDS)
                continue
            last_answer = time.monotonic()
            yield from page.data
            if page.ended or not (page.data or follow):
                return
            after = page.next_after

    def job(self, job_id: str, *, wait_seconds: float = 0.0) -> Job:
        """A job now, or when it has changed, or when the time is up."""
        return self._wire.get(_job(job_id), Job, wait=f"{wait_seconds:g}")

    def wait(self, job_id: str, *, on_progress: Callable[[Job], None] | None = None) -> Job:
        """Wait for the end of a job, whatever it is; told of every change on the way."""
        last_answer, first = time.monotonic(), True
        while True:
            try:
                job = self.job(job_id, wait_seconds=0.0 if first else LONG_POLL_SECONDS)
            except Unavailable:
                if time.monotonic() > last_answer + OUTAGE_SECONDS:
                    raise
                time.sleep(OUTAGE_PAUSE_SECONDS)
                continue
            last_answer, first = time.monotonic(), False
            if on_progress is not None:
                on_progress(job)
            if job.state in FINAL:
                return job

    def cancel(self, job_id: str) -> Job:
        """Ask a job to stop."""
        return self._wire.asked("POST", f"{_job(job_id)}/cancel", view=Job)

    def report(self, job_id: str) -> Report:
        """What a compress job measured, before and after."""
        return Report.model_validate_json(self._report(job_id))

    def sensitivity_report(self, job_id: str) -> SensitivityReport:
        """What a sensitivity job measured, layer by layer."""
        return SensitivityReport.model_validate_json(self._report(job_id))

    def sweep_report(self, job_id: str) -> SweepReport:
        """What the trials of a sweep measured."""
        return SweepReport.model_validate_json(self._report(job_id))

    def search_report(self, job_id: str) -> SearchReport:
        """What a search found."""
        return SearchReport.model_validate_json(self._report(job_id))

    def trials(self, sweep_id: str) -> tuple[Job, ...]:
        """The jobs that a sweep is made of, the last first."""
        pages = self._wire.pages("/v1/jobs", JobList, parent_id=sweep_id)
        return tuple(job for page in pages for job in page.data)

    def artifacts(self, job_id: str) -> tuple[Artifact, ...]:
        """The files that a job left."""
        return self._wire.get(f"{_job(job_id)}/artifacts", ArtifactList).data

    def download(self, job_id: str, artifact: Artifact, folder: Path) -> Path:
        """Save a file under its name. It appears complete and right, or not at all.

        Raises:
            InternalError: what arrived is not what its digest says.
        """
        folder.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256()
        descriptor, partial = tempfile.mkstemp(prefix=f".{artifact.name}.", dir=folder)
        try:
            with os.fdopen(descriptor, "wb") as file:
                for chunk in self._wire.stream(f"{_job(job_id)}/artifacts/{artifact.name}", uploading.CHUNK_BYTES):
                    digest.update(chunk)
                    file.write(chunk)
            if f"sha256:{digest.hexdigest()}" != artifact.digest:
                raise InternalError(f"{artifact.name} arrived damaged.", suggestions=["Download it again."])
            Path(partial).chmod(0o644)
            return Path(partial).replace(folder / artifact.name)
        finally:
            Path(partial).unlink(missing_ok=True)

    def create_key(
        self,
        name: str,
        *,
        owner: str | None = None,
        scopes: Sequence[str] = ("write",),
        expires_in_days: float | None = None,
    ) -> NewKey:
        """Make an API key. Its text is in the answer and nowhere else."""
        wanted = {"name": name, "owner": owner, "scopes": list(scopes), "expires_in_days": expires_in_days}
        return self._wire.asked("POST", "/v1/keys", json=wanted, view=NewKey)

    def keys(self) -> tuple[Key, ...]:
        """API keys, newest first, revoked ones too."""
        return tuple(key for page in self._wire.pages("/v1/keys", KeyList) for key in page.data)

    def rotate_key(self, key_id: str, *, grace_seconds: float = 86_400) -> NewKey:
        """Give a key a new secret; the one before stays valid for the grace."""
        path = f"{addresses.of('keys', key_id)}/rotate"
        return self._wire.asked("POST", path, json={"grace_seconds": grace_seconds}, view=NewKey)

    def revoke_key(self, key_id: str) -> None:
        """Make a key unusable, at once and for good."""
        self._wire.send("DELETE", addresses.of("keys", key_id))

    def limits(self) -> tuple[Limits, ...]:
        """Owners with limits of their own, by name."""
        return tuple(limits for page in self._wire.pages("/v1/limits", LimitsList) for limits in page.data)

    def limits_of(self, owner: str) -> Limits:
        """What an owner may use. Any name is an owner."""
        return self._wire.get(addresses.of("limits", owner), Limits)

    def set_limits(self, owner: str, own: Mapping[str, int | None]) -> Limits:
        """Set an owner's own limits, all of them: those that are missing or None are what the settings say; 0: any."""
        return self._wire.asked("PUT", addresses.of("limits", owner), json=dict(own), view=Limits)

    def remove_limits(self, owner: str) -> None:
        """Let the settings say again what an owner may use."""
        self._wire.send("DELETE", addresses.of("limits", owner))

    def _report(self, job_id: str) -> bytes:
        return self._wire.send("GET", f"{_job(job_id)}/report", headers={"Accept": "application/json"}).content

    def _upload_of(self, kind: Literal["model", "dataset"], upload_id: str) -> Upload:
        return self._wire.get(addresses.of(f"{kind}s", upload_id), Upload)

    def _upload(
        self, kind: Literal["model", "dataset"], file: Path, query: dict[str, str], on_bytes: OnBytes | None
    ) -> Upload:
        if file.stat().st_size > uploading.PIECE_BYTES:
            upload_id = uploading.in_pieces(self._wire.send, kind, file, query, on_bytes=on_bytes)
            return self._upload_of(kind, upload_id)
        return self._wire.parse(uploading.whole(self._wire.send, f"/v1/{kind}s", file, query, on_bytes), Upload)


def _job(job_id: str) -> str:
    return addresses.of("jobs", job_id)
