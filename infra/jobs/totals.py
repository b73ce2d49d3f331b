"""Totals over all owners, for the metrics of a service."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from sqlalchemy import func, select, union
from sqlalchemy.orm import Session

from infra.db import clock
from infra.db.tables import Artifact, Job, ResumableUpload, Upload
from infra.jobs import workers
from secateur.protocol.states import JobState, UploadState
from secateur.protocol.work import QUEUE_OF, QUEUES, WorkKind


@dataclass(frozen=True)
class Totals:
    """Counts and bytes at one moment. Keys are kinds and states, or queues."""

    jobs: dict[tuple[str, ...], int]
    uploads: dict[tuple[str, ...], int]
    upload_bytes: dict[str, int]
    stored_bytes: int
    unfinished_upload_bytes: int
    queued: dict[str, int]
    oldest_queued_seconds: dict[str, float]
    workers: dict[str, int]
    sandboxes: dict[str, int]


def read(session: Session, *, workers_within_seconds: float, now: datetime | None = None) -> Totals:
    """Read all totals."""
    at = clock.read(session, now)
    jobs = select(Job.kind, Job.state, func.count()).group_by(Job.kind, Job.state)
    uploads = select(Upload.kind, Upload.state, func.count()).group_by(Upload.kind, Upload.state)
    oldest = select(Job.kind, func.min(Job.created_at)).where(Job.state == JobState.QUEUED).group_by(Job.kind)
    by_kind: dict[tuple[str, ...], int] = {(kind, state): count for kind, state, count in session.execute(jobs)}
    queued, ages = dict.fromkeys(map(str, QUEUES), 0), dict.fromkeys(map(str, QUEUES), 0.0)
    for kind, since in session.execute(oldest):
        queue = QUEUE_OF[cast(WorkKind, kind)]
        queued[queue] += by_kind[kind, JobState.QUEUED]
        ages[queue] = max(ages[queue], (at - since).total_seconds())
    alive = workers.alive(session, within_seconds=workers_within_seconds, now=now)
    return Totals(
        jobs=by_kind,
        uploads={(kind, state): count for kind, state, count in session.execute(uploads)},
        upload_bytes=_upload_bytes(session),
        stored_bytes=_stored_bytes(session),
        unfinished_upload_bytes=_unfinished_bytes(session),
        queued=queued,
        oldest_queued_seconds=ages,
        workers={queue: sum(queue in row.queues.split(",") for row in alive) for queue in QUEUES},
        sandboxes=Counter(row.sandbox or "unknown" for row in alive if row.queues),
    )


def _upload_bytes(session: Session) -> dict[str, int]:
    kept = select(Upload.kind, func.sum(Upload.num_bytes)).where(Upload.state != UploadState.REJECTED)
    return {kind: int(num_bytes) for kind, num_bytes in session.execute(kept.group_by(Upload.kind))}


def _stored_bytes(session: Session) -> int:
    """Return the bytes of all blobs. Equal content counts once, as it does in the store."""
    uploads = select(Upload.digest, Upload.num_bytes).where(Upload.state != UploadState.REJECTED)
    blobs = union(uploads, select(Artifact.digest, Artifact.num_bytes)).subquery()
    return int(session.scalar(select(func.coalesce(func.sum(blobs.c.num_bytes), 0))) or 0)


def _unfinished_bytes(session: Session) -> int:
    unfinished = (ResumableUpload.upload_id.is_(None), ResumableUpload.failure.is_(None))
    return int(session.scalar(select(func.coalesce(func.sum(ResumableUpload.offset), 0)).where(*unfinished)) or 0)
