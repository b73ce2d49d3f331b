"""Garbage collection: what has expired, and what crashes left in the store. Safe at any time, any number side by side.

Each thing goes in a transaction of its own that looks again, so that a job which begins or an upload that comes back
meanwhile wins.
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
"""Finds ids of what has expired, given a session, ``now`` and a ``limit``."""


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
    removal = partial(_remove, database, store, now=now)
    gone = partial(_until_none_goes, database, now=now)
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
"""How long a job that failed by our fault can be tried again from where it was; after that, from its beginning."""

STAGED_SECONDS = 86_400.0
"""An upload that is not there in full a day after its last byte will not be."""


def _until_none_goes(database: Database, expired: Expired, remove: Callable[[str], bool], *, now: datetime) -> int:
    """Remove what has expired, some at a time, until there is no more or nothing goes any more. Returns how many."""
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
    """Remove one that has expired, if that is still so and nobody has come to need it meanwhile."""
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
