"""Garbage collection: what has expired, and what crashes left in the store. Safe at any time, any number side by side.

Each thing goes in a transaction of its own that looks again, so that a job which begins or an upload that comes back
meanwhile wins.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from itertools import islice

from infra import blobs, retention
from infra.database import Database
from infra.logs import logger
from infra.store import Store
from infra.tables import Job, Upload
from jobspec.errors import InUse

BATCH = 200


@dataclass(frozen=True)
class Collected:
    """How much of each went."""

    jobs: int
    uploads: int
    blobs: int
    staged: int


def collect(database: Database, store: Store, *, grace_seconds: float, now: datetime) -> Collected:
    """Remove expired jobs and uploads, then bytes that no row needs and that are older than the grace.

    Raises:
        Unavailable: the database or the store does not answer. What went before is gone; the next call goes on.
    """
    found = Collected(
        jobs=_expired_jobs(database, store, now=now),
        uploads=_expired_uploads(database, store, now=now),
        blobs=_unneeded_blobs(database, store, before=now - timedelta(seconds=grace_seconds), now=now),
        staged=store.discard_staged_before(now - timedelta(seconds=max(grace_seconds, STAGED_SECONDS))),
    )
    if any(asdict(found).values()):
        logger("collector").info("collected", **asdict(found))
    return found


STAGED_SECONDS = 86_400.0
"""An upload that is not there in full a day after its last byte will not be."""


def _expired_jobs(database: Database, store: Store, *, now: datetime) -> int:
    removed = 0
    while True:
        with database.read() as session:
            ids = retention.expired_jobs(session, now=now, limit=BATCH)
        went = 0
        for job_id in ids:
            with database.write() as session:
                job = session.get(Job, job_id, with_for_update=True)
                if job is not None and job.expires_at is not None and job.expires_at < now:
                    with suppress(InUse):  # it was tried again a moment ago
                        retention.remove_job(session, store, job)
                        went += 1
        removed += went
        if len(ids) < BATCH or not went:
            return removed


def _expired_uploads(database: Database, store: Store, *, now: datetime) -> int:
    removed = 0
    while True:
        with database.read() as session:
            ids = retention.expired_uploads(session, now=now, limit=BATCH)
        went = 0
        for upload_id in ids:
            went += _expired_upload(database, store, upload_id, now=now)
        removed += went
        if len(ids) < BATCH or not went:
            return removed


def _expired_upload(database: Database, store: Store, upload_id: str, *, now: datetime) -> bool:
    try:
        with database.write() as session:
            upload = session.get(Upload, upload_id, with_for_update=True)
            if upload is None or upload.expires_at is None or upload.expires_at >= now:
                return False
            retention.remove_upload(session, store, upload)
    except InUse:  # a job was accepted for it meanwhile
        return False
    return True


def _unneeded_blobs(database: Database, store: Store, *, before: datetime, now: datetime) -> int:
    with database.write() as session:
        blobs.let_go_of_old(session, now=now)
    removed = 0
    for digests in _batches(blob.digest for blob in store.blobs() if blob.modified_at < before):
        with database.read() as session:
            unneeded = [digest for digest in digests if not blobs.is_referenced(session, digest)]
        for digest in unneeded:
            with database.write() as session:
                removed += blobs.remove_unneeded(session, store, [digest])
    return removed


def _batches(digests: Iterable[str]) -> Iterator[tuple[str, ...]]:
    rest = iter(digests)
    while batch := tuple(islice(rest, BATCH)):
        yield batch
