"""Garbage collection: removes what has expired, and what crashes left in the store.

Any number of processes may run it at any time. Each removal is a transaction that checks again whether the row has
expired, so a job that begins or an upload that is repeated meanwhile is kept.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from typing import TypeVar

from infra.cleanup import retention
from infra.db.database import Database
from infra.db.tables import Job, Upload
from infra.jobs import checkpoints
from infra.storage import blobs
from infra.storage.store import Store
from infra.telemetry.logs import logger
from secateur.errors import InUse

BATCH = 200

Row = TypeVar("Row", Job, Upload)

Expired = Callable[..., Sequence[str]]
"""Returns ids of expired rows, given a session, ``now`` and a ``limit``."""


@dataclass(frozen=True)
class Collected:
    """How many of each kind were removed."""

    jobs: int
    uploads: int
    blobs: int
    staged: int


def collect(database: Database, store: Store, *, grace_seconds: float, now: datetime) -> Collected:
    """Remove expired jobs and uploads, then bytes that no row needs and that are older than ``grace_seconds``.

    Raises:
        Unavailable: the database or the store does not answer. Earlier removals stay; the next call continues.
    """
    removal = partial(_remove, database, store, now=now)
    gone = partial(_remove_in_batches, database, now=now)
    found = Collected(
        jobs=gone(retention.expired_jobs, partial(removal, Job, retention.remove_job)),
        uploads=gone(retention.expired_uploads, partial(removal, Upload, retention.remove_upload)),
        blobs=_unneeded_blobs(database, store, before=now - timedelta(seconds=grace_seconds), now=now),
        staged=store.discard_staged_before(now - timedelta(seconds=max(grace_seconds, STAGED_SECONDS))),
    )
    if any(asdict(found).values()):
        logger("collector").info("collected", **asdict(found))
    return found


RETRY_SECONDS = 86_400.0
"""How long the checkpoint of a job that failed by the service's fault is kept. Later retries begin from the start."""

STAGED_SECONDS = 86_400.0
"""The age at which staged bytes are abandoned: no upload is continued a day after its last byte."""


def _remove_in_batches(database: Database, expired: Expired, remove: Callable[[str], bool], *, now: datetime) -> int:
    """Remove expired rows in batches until none is left or none can be removed. Return how many were removed."""
    removed = 0
    while True:
        with database.read() as session:
            ids = expired(session, now=now, limit=BATCH)
        went = sum(map(remove, ids))
        removed += went
        if len(ids) < BATCH or not went:
            return removed


def _remove(
    database: Database,
    store: Store,
    of: type[Row],
    remove: Callable[[retention.Removal, Row], None],
    row_id: str,
    *,
    now: datetime,
) -> bool:
    """Remove a row if it is still expired and no unfinished job needs it. Return whether it was removed.

    Args:
        database: where the row is.
        store: where its bytes are.
        of: the table of the row.
        remove: removes the row within the transaction.
        row_id: the id of the row.
        now: the time by which rows count as expired.
    """
    with suppress(InUse), retention.removing(database, store) as removal:
        row = removal.session.get(of, row_id, with_for_update=True)
        if row is not None and row.expires_at is not None and row.expires_at < now:
            remove(removal, row)
            return True
    return False


def _unneeded_blobs(database: Database, store: Store, *, before: datetime, now: datetime) -> int:
    with database.write() as session:
        blobs.release_old_holds(session, now=now)
        checkpoints.forget_ended_before(session, now - timedelta(seconds=RETRY_SECONDS))
    removed = 0
    for digests in _batches(blob.digest for blob in store.blobs() if blob.modified_at < before):
        with database.read() as session:
            unneeded = [digest for digest in digests if not blobs.is_referenced(session, digest)]
        removed += blobs.remove_unneeded(database, store, unneeded)
    return removed


def _batches(digests: Iterable[str]) -> Iterator[tuple[str, ...]]:
    rest = iter(digests)
    while batch := tuple(islice(rest, BATCH)):
        yield batch
