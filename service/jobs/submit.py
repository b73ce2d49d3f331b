"""Taking a job in: once for each Idempotency-Key, and not again when the same work is here already."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from fastapi import Response
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from infra.accounts import owner_limits, quotas
from infra.cleanup import retention
from infra.db import locks
from infra.db.database import now
from infra.db.tables import Job, Upload
from infra.jobs import creation, idempotency, queries
from infra.jobs.idempotency import Known
from infra.telemetry.logs import logger
from infra.uploads import uploads
from secateur import errors
from secateur.protocol.states import FINAL, UploadState
from secateur.reports.summaries import DatasetSummary, ModelSummary
from secateur.specs.kinds import JobSpec
from secateur.validation.fit import check_fit
from service.accounts.caller import Caller
from service.components import Components
from service.jobs.dispatch import notify_workers
from service.views.resources import job_view

LONGEST_WAIT_SECONDS: Final = 60
_WAIT = re.compile(r"(?:^|,)\s*wait\s*=\s*\"?(\d{1,6})\"?\s*(?:;[^,]*)?(?=,|$)", re.IGNORECASE)


@dataclass(frozen=True)
class Order:
    """What a caller asks for. ``waits`` tells that the answer comes later than the job."""

    spec: JobSpec
    caller: Caller
    key: str | None = None
    force: bool = False
    waits: bool = False

    def fingerprint(self) -> str:
        """Digest of all that the request says; defaults that are written out say nothing new."""
        said = ["POST", "/v1/jobs", self.force, self.spec.model_dump(mode="json")]
        return "sha256:" + hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Answer:
    """What a caller is told; kept, when there is a key, for whoever asks again."""

    status: int
    body: str
    job_id: str
    is_replayed: bool = False
    deduplicated: bool = False

    def response(self, *, waited: int | None = None) -> Response:
        """The answer over HTTP."""
        headers = {"Location": f"/v1/jobs/{self.job_id}"}
        if self.is_replayed:
            headers["Idempotency-Replayed"] = "true"
        elif waited is not None:
            headers["Preference-Applied"] = f"wait={waited}"
        return Response(self.body, self.status, headers, media_type="application/json")


def take(parts: Components, order: Order) -> Answer:
    """Write the job, or find that it is here.

    Raises:
        IdempotencyKeyReused, IdempotencyInFlight: the key stands for another request, or for one that is under way.
        RequestError: the spec cannot work.
    """
    while True:
        try:
            return _take(parts, order)
        except IntegrityError:  # another request with this key was a moment faster: its job is there now
            if order.key is None:
                raise


def _take(parts: Components, order: Order) -> Answer:
    owner = order.caller.owner
    with parts.database.write() as session:
        locks.hold(session, "owner", [owner])
        known = idempotency.find(session, owner, order.key) if order.key else None
        if known is not None:
            return _known(session, order, known)
        _check(session, order)
        twin = None if order.force else queries.equivalent_job(session, owner, order.spec)
        if twin is None:
            limits = owner_limits.effective(session, owner, settings=parts.settings)
            quotas.check_queue(session, owner, limits)
            quotas.check_storage(session, owner, 0, limits)
            expires_at = retention.expiry(parts.settings.keep_jobs_days, now=now())
        job = twin or creation.create_job(session, order.spec, owner=owner, expires_at=expires_at)
        answer = _answer(session, job, status=202, deduplicated=twin is not None)
        if order.key:
            fingerprint = order.fingerprint()
            idempotency.keep(session, owner, order.key, fingerprint=fingerprint, job_id=job.id)
            if not order.waits:
                idempotency.answer(session, owner, order.key, status=answer.status, body=answer.body)
    if twin is None:
        notify_workers(parts, job)
    log = logger("gateway").bind(job=job.id, model=job.model_id, dataset=job.dataset_id)
    log.info("job accepted" if twin is None else "job is here already")
    return answer


def answer_now(parts: Components, order: Order, before: Answer) -> Answer:
    """What became of a job that its caller waited for; kept as the answer of its key."""
    with parts.database.write() as session:
        job = queries.get(session, before.job_id)
        if job is None:  # deleted meanwhile
            return before
        answer = _answer(session, job, status=202, deduplicated=before.deduplicated)
        if order.key:
            idempotency.answer(session, order.caller.owner, order.key, status=answer.status, body=answer.body)
        return answer


def _answer(session: Session, job: Job, *, status: int, deduplicated: bool) -> Answer:
    view = job_view(session, job, deduplicated=deduplicated)
    status = 200 if deduplicated or view.state in FINAL else status
    return Answer(status, view.model_dump_json(), job.id, deduplicated=deduplicated)


def _known(session: Session, order: Order, known: Known) -> Answer:
    if known.fingerprint != order.fingerprint():
        raise errors.IdempotencyKeyReused(
            "This Idempotency-Key came before with another spec.",
            errors=[errors.FieldError(field="Idempotency-Key", messages=("used for another request",))],
            suggestions=["Use a new key for a new job, and the same key only to send the same request again."],
        )
    if known.is_in_flight:
        raise _InFlight("The request that came first with this Idempotency-Key still waits for its answer.")
    if known.status is not None and known.body is not None:
        return Answer(known.status, known.body, known.job_id, is_replayed=True)
    job = queries.get(session, known.job_id)
    if job is None:
        raise errors.NotFound(f"The job {known.job_id} of this Idempotency-Key was deleted.")
    answer = replace(_answer(session, job, status=202, deduplicated=False), is_replayed=True)
    idempotency.answer(session, order.caller.owner, str(order.key), status=answer.status, body=answer.body)
    return answer


class _InFlight(errors.IdempotencyInFlight):
    headers: Mapping[str, str] = {"Retry-After": "1"}


def _check(session: Session, order: Order) -> None:
    spec = order.spec
    model = held_input(session, order.caller, "model", spec.model_id, field="model_id")
    dataset = held_input(session, order.caller, "dataset", spec.dataset_id, field="dataset_id")
    if model.summary is not None and dataset.summary is not None:
        check_fit(spec, ModelSummary.model_validate(model.summary), DatasetSummary.model_validate(dataset.summary))


def held_input(session: Session, caller: Caller, kind: uploads.Kind, upload_id: str, *, field: str) -> Upload:
    """The upload that a spec names, unless it was rejected. Locked: of two equal specs the second sees the first's job.

    Raises:
        NotFound, InputRejected: naming the field.
    """
    upload = uploads.get(session, kind, upload_id, hold=True)
    if upload is None or not caller.sees(upload.owner):
        raise errors.NotFound(
            f"{field}: no upload has the id {upload_id}.",
            errors=[errors.FieldError(field=field, messages=("not found",))],
            suggestions=[f"GET /v1/{kind}s lists the uploads."],
        )
    if upload.state == UploadState.REJECTED:
        failure = errors.Failure.model_validate(upload.failure)
        raise errors.InputRejected(
            f"{upload_id} was rejected: {failure.detail}",
            errors=[errors.FieldError(field=field, messages=(failure.code,))],
            suggestions=failure.suggestions,
        )
    return upload


def preferred_wait(prefer: str | None) -> int | None:
    """How many seconds a ``Prefer`` header (RFC 7240) asks to wait, within bounds; None when it asks for none.

    >>> preferred_wait("respond-async, wait=10"), preferred_wait("wait=999"), preferred_wait("return=minimal")
    (10, 60, None)
    """
    found = _WAIT.search(prefer or "")
    return min(int(found[1]), LONGEST_WAIT_SECONDS) if found else None
